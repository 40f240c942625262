//! What speaks HTTP to the port: a scanner, or a browser that was tricked into it. Nothing that it sends may run, and
//! nothing is said to it.

use kvdb_resp::Args;

/// Methods of HTTP that are no commands. GET is one; its requests are known by the end of their first line.
const METHODS: [&[u8]; 8] = [b"POST", b"PUT", b"HEAD", b"DELETE", b"OPTIONS", b"PATCH", b"CONNECT", b"TRACE"];

/// Whether a line of words is the first one of an HTTP request.
#[cold]
pub(super) fn is_request(line: Args<'_>) -> bool {
    let names_version = line.len() == 3 && line[2].starts_with(b"HTTP/");
    names_version || METHODS.contains(&line.name())
}

/// Whether a command that there is not comes from a request of HTTP, in whatever form it arrives: what Redis looks for.
pub(super) fn is_name(command: &[u8]) -> bool {
    command.eq_ignore_ascii_case(b"post") || command.eq_ignore_ascii_case(b"host:")
}

#[cfg(test)]
mod tests {
    use super::*;
    use kvdb_resp::OwnedArgs;

    fn is_http(line: &str) -> bool {
        is_request(line.split(' ').collect::<OwnedArgs>().as_args())
    }

    #[test]
    fn requests_of_http_are_told_from_commands() {
        for request in ["GET / HTTP/1.1", "SET /k HTTP/1.0", "brew /pot HTTP/1.1", "PUT /k", "TRACE", "HEAD"]
        {
            assert!(is_http(request), "{request}");
        }
        for command in ["GET /", "GET HTTP/1.1", "SET k v", "SET k HTTP/1.1 EX 5", "PING", "put", "del k"] {
            assert!(!is_http(command), "{command}");
        }
    }
}
