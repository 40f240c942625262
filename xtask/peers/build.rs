//! Links the system's RocksDB (Debian: `librocksdb-dev`), where the feature asks for it.

fn main() {
    if std::env::var_os("CARGO_FEATURE_ROCKSDB").is_some() {
        println!("cargo:rustc-link-lib=dylib=rocksdb");
    }
}
