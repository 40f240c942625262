//! Who listens on a port that somebody else has.

use std::fs;

/// The state of a listening socket in `/proc/net/tcp`.
const LISTENS: &str = "0A";

/// The process that listens on a TCP port, in words, where this process may know.
pub(super) fn of(port: u16) -> Option<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let socket = tables.iter().find_map(|table| socket_in(table, port))?;
    let wanted = format!("socket:[{socket}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let process =
        processes.filter(|entry| entry.file_name().as_encoded_bytes()[0].is_ascii_digit()).find(|entry| {
            // Those of other users cannot be looked at.
            let descriptors = fs::read_dir(entry.path().join("fd")).into_iter().flatten().flatten();
            descriptors
                .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
                .any(|target| target.as_os_str() == wanted.as_str())
        })?;
    let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
    Some(format!("process {} ({})", process.file_name().display(), name.trim()))
}

/// The number of the socket that listens on a port, in a table of the kernel.
fn socket_in(table: &str, port: u16) -> Option<&str> {
    let port = format!("{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let local = fields.nth(1)?;
        let state = fields.nth(1)?;
        let socket = fields.nth(5)?;
        let (_, its_port) = local.rsplit_once(':')?;
        (its_port == port && state == LISTENS).then_some(socket)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 11 1 0 20 4 30 10 -1
   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 22 1 0 100 0 0 10 0
   2: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 33 1 0 100 0 0 10 0
   3: cut
";

    #[test]
    fn the_socket_that_listens_is_found() {
        assert_eq!(socket_in(TABLE, 8080), Some("22"));
        assert_eq!(socket_in(TABLE, 22), Some("33"));
        assert_eq!(socket_in(TABLE, 50_000), None, "it is the other end of a connection");
    }

    #[test]
    fn this_process_is_found_by_a_port_of_its_own() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let holder = of(port).expect("this process may look at itself");
        assert!(holder.starts_with(&format!("process {} (", std::process::id())), "{holder}");
        drop(listener);
        assert_eq!(of(port), None);
    }
}
