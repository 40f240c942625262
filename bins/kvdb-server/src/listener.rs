//! Accepting clients: one thread hands each to the worker that has the fewest.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket as RawSocket, TcpKeepalive, Type};
use tokio::net::UnixListener;
use tracing::warn;

use crate::host::is_loopback;
use crate::listening::{self, Bound, Listening};
use crate::node::Node;
use crate::serve::{Accepted, Socket};
use crate::settings::Settings;

/// How long accepting rests after the system had no descriptor or memory for a client: nothing tells when it has again.
const REST_AFTER_EXHAUSTION: Duration = Duration::from_millis(100);

/// The sockets that clients come to.
pub struct Listeners {
    tcp: Vec<Bound>,
    unix: Option<(std::os::unix::net::UnixListener, PathBuf)>,
}

impl Listeners {
    /// Binds what the settings say.
    ///
    /// # Errors
    /// A sentence for the operator that names the address.
    pub fn bind(settings: &Settings) -> Result<Self, String> {
        let tcp = listening::bind(settings)?;
        let unix = match &settings.unixsocket {
            Some(path) => Some((bind_unix(path, settings.unixsocketperm)?, path.clone())),
            None => None,
        };
        Ok(Self { tcp, unix })
    }

    /// Accepts on the runtime that polls this, for as long as what is returned is kept.
    ///
    /// # Errors
    /// When a listener cannot be registered with the runtime.
    pub async fn serve(self, node: Arc<Node>) -> io::Result<Arc<Dispatch>> {
        let dispatch = Arc::new(Dispatch { node });
        let listening = Listening::begin(self.tcp, &dispatch)?;
        // Nobody else sets it.
        let _ = dispatch.node.listening.set(listening);
        if let Some((listener, path)) = self.unix {
            let listener = UnixListener::from_std(listener)?;
            let name = format!("{}:0", path.display());
            let dispatch = dispatch.clone();
            tokio::spawn(async move {
                loop {
                    match listener.accept().await {
                        Ok((stream, _)) => dispatch.unix(stream, &name),
                        Err(error) => rest_if_exhausted(&error).await,
                    }
                }
            });
        }
        Ok(dispatch)
    }
}

/// Rests where an accept failed for want of something. An accept that fails concerns one client, or the whole process when
/// descriptors have run out; it never ends the loop.
pub async fn rest_if_exhausted(error: &io::Error) {
    if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)) {
        warn!("cannot accept a client: {error}");
        tokio::time::sleep(REST_AFTER_EXHAUSTION).await;
    }
}

/// Whether this machine lacks an address.
pub fn is_unavailable(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT | libc::EPROTONOSUPPORT | libc::EPROTOTYPE)
    )
}

/// A socket that listens at an address.
///
/// # Errors
/// When the address does not exist or is taken.
pub fn bind_tcp(host: &str, port: u16, settings: &Settings) -> io::Result<std::net::TcpListener> {
    let host = match host {
        "*" => "0.0.0.0",
        "::*" => "::",
        host => host,
    };
    let address = (host, port).to_socket_addrs()?.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let socket =
        RawSocket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(settings.tcp_backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

fn bind_unix(path: &Path, mode: Option<u32>) -> Result<std::os::unix::net::UnixListener, String> {
    let describe = |error: io::Error| format!("cannot listen on the unix socket {}: {error}", path.display());
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(describe(io::ErrorKind::AddrInUse.into()));
    }
    // A socket that nobody answers is what a crash has left behind.
    match std::fs::symlink_metadata(path) {
        Ok(meta) if std::os::unix::fs::FileTypeExt::is_socket(&meta.file_type()) => {
            std::fs::remove_file(path).map_err(describe)?;
        }
        Ok(_) => return Err(describe(io::ErrorKind::AlreadyExists.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(describe(error)),
    }
    let listener = std::os::unix::net::UnixListener::bind(path).map_err(describe)?;
    if let Some(mode) = mode {
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(path, permissions).map_err(describe)?;
    }
    listener.set_nonblocking(true).map_err(describe)?;
    Ok(listener)
}

/// Decides who serves a client, or why nobody does.
pub struct Dispatch {
    node: Arc<Node>,
}

impl Dispatch {
    /// Serves a client that came over TCP.
    pub fn tcp(&self, stream: tokio::net::TcpStream, peer: SocketAddr) {
        let Ok(stream) = stream.into_std() else { return };
        let addr = SocketAddr::new(peer.ip().to_canonical(), peer.port()).to_string();
        let laddr = stream.local_addr().map_or_else(|_| String::new(), |a| a.to_string());
        let (refuse, keepalive) = {
            let config = self.node.config.lock();
            let settings = config.settings();
            let open = settings.protected_mode
                && self.node.accounts.default_account().user().nopass
                && !is_loopback(&addr);
            (open, settings.tcp_keepalive)
        };
        if refuse {
            return self.refuse(&Socket::Tcp(stream), PROTECTED);
        }
        // Failing to set an option is no reason to refuse a client.
        let _ = stream.set_nodelay(true);
        if let Some(period) = keepalive {
            let probes = TcpKeepalive::new().with_time(period).with_interval(period / 3);
            let _ = SockRef::from(&stream).set_tcp_keepalive(&probes);
        }
        self.hand_over(Accepted { socket: Socket::Tcp(stream), addr, laddr, plan: 0 });
    }

    fn unix(&self, stream: tokio::net::UnixStream, name: &str) {
        let Ok(stream) = stream.into_std() else { return };
        self.hand_over(Accepted {
            socket: Socket::Unix(stream),
            addr: name.into(),
            laddr: name.into(),
            plan: 0,
        });
    }

    fn hand_over(&self, client: Accepted) {
        let limit = self.node.hot.maxclients.load(Ordering::Relaxed);
        if self.node.placement.connections() >= limit {
            return self.refuse(&client.socket, b"-ERR max number of clients reached\r\n");
        }
        self.node.accepted.fetch_add(1, Ordering::Relaxed);
        self.node.placement.place(client);
    }

    /// Tells a client why it is not served; whether it hears it does not matter.
    fn refuse(&self, socket: &Socket, why: &[u8]) {
        use std::io::Write;
        self.node.rejected.fetch_add(1, Ordering::Relaxed);
        let _ = match socket {
            Socket::Tcp(s) => (&mut &*s).write(why),
            Socket::Unix(s) => (&mut &*s).write(why),
        };
    }
}

const PROTECTED: &[u8] = b"-DENIED KVDB is running in protected mode because protected mode is enabled and no password \
is set for the default user. In this mode connections are only accepted from the loopback interface. If you want to \
connect from external computers to KVDB you may adopt one of the following solutions: 1) Disable protected mode sending \
the command 'CONFIG SET protected-mode no' from the loopback interface by connecting to KVDB from the same host the \
server is running, however MAKE SURE KVDB is not publicly accessible from internet if you do so. Use CONFIG REWRITE to \
make this change permanent. 2) Set 'protected-mode no' in the configuration file. 3) Start the server with \
--protected-mode no. 4) Set up an authentication password for the default user with requirepass.\r\n";
