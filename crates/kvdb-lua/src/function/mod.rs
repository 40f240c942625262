//! Functions: Lua code that is loaded once, as a library, and called by name.

mod library;
mod metadata;
mod register;
mod registry;

pub use library::{FunctionInfo, Library};
pub use metadata::Metadata;
pub(crate) use register::{Registrations, install as install_register};
pub use registry::{FunctionRegistry, Libraries, RegisteredFunction};

/// Redis' word for the engine, in listings.
pub const ENGINE: &str = "LUA";

/// Whether a library or a function may be called so.
fn is_valid_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// What Redis says of a name that cannot be one, a function's too.
const INVALID_NAME: &str = "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long";
