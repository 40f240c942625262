//! The TCP listeners in force, and their exchange while the server runs (CONFIG SET `bind`, `port`).
//!
//! New addresses are bound before old ones are given up, so that a change that fails leaves everything as it was. One
//! case cannot be done so: an address that includes another at the same port, as `*` includes `127.0.0.1`, is only to be
//! had when the other has been given up. Then that one is taken again if the change fails all the same. A listener
//! whose address stays is not touched, and clients that are connected never are.

mod holder;

use std::io;
use std::net::TcpListener as RawListener;
use std::sync::{Arc, Weak, mpsc};

use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use crate::listener::{Dispatch, bind_tcp, is_unavailable, rest_if_exhausted};
use crate::settings::Settings;

/// Where a listener listens: a host as the settings write it, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Endpoint {
    host: String,
    port: u16,
}

/// A socket that listens, before clients are accepted from it.
pub struct Bound {
    at: Endpoint,
    socket: RawListener,
}

/// A listener from which clients are accepted, until this is dropped.
struct Accepting {
    at: Endpoint,
    task: JoinHandle<()>,
    /// Disconnected when the socket has been closed.
    closed: mpsc::Receiver<()>,
}

impl Drop for Accepting {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A socket in its task. Fields are dropped in this order, so that who waits for the end finds the socket closed.
struct Open {
    listener: TcpListener,
    _closing: mpsc::Sender<()>,
}

/// Listening elsewhere failed; the log says why.
#[derive(Debug)]
pub struct Unchanged;

/// See the module's text.
pub struct Listening {
    runtime: Handle,
    dispatch: Weak<Dispatch>,
    accepting: Mutex<Vec<Accepting>>,
}

/// Binds what the settings ask for, but for what is listened on already.
fn bind_all(settings: &Settings, present: &[Endpoint]) -> Result<Vec<Bound>, (Endpoint, io::Error)> {
    let mut bound = Vec::new();
    for (at, optional) in endpoints(settings) {
        if present.contains(&at) {
            continue;
        }
        match bind_tcp(&at.host, at.port, settings) {
            Ok(socket) => bound.push(Bound { at, socket }),
            Err(error) if optional && is_unavailable(&error) => {
                info!(address = at.host, "not listening on an optional address: {error}");
            }
            Err(error) => return Err((at, error)),
        }
    }
    Ok(bound)
}

/// Where the settings ask to listen, each with whether it may be missing on this machine.
fn endpoints(settings: &Settings) -> impl Iterator<Item = (Endpoint, bool)> + '_ {
    let addresses = if settings.port == 0 { &[][..] } else { &settings.bind[..] };
    addresses
        .iter()
        .map(|address| (Endpoint { host: address.host.clone(), port: settings.port }, address.optional))
}

/// Binds what the settings say, at the start.
///
/// # Errors
/// A sentence for the operator that names the address.
pub fn bind(settings: &Settings) -> Result<Vec<Bound>, String> {
    let bound = bind_all(settings, &[]).map_err(|(at, error)| {
        let taken = (error.kind() == io::ErrorKind::AddrInUse).then(|| holder::of(at.port)).flatten();
        let by = taken.map_or_else(String::new, |holder| format!(", by {holder}"));
        format!("cannot listen on {} port {}: {error}{by}", at.host, at.port)
    })?;
    if bound.is_empty() && endpoints(settings).next().is_some() {
        return Err("none of the addresses in 'bind' can be listened on".into());
    }
    Ok(bound)
}

impl Listening {
    /// Accepts clients from these, on the runtime that this is called from.
    ///
    /// # Errors
    /// When a listener cannot be registered with the runtime.
    pub fn begin(bound: Vec<Bound>, dispatch: &Arc<Dispatch>) -> io::Result<Self> {
        let listening = Self {
            runtime: Handle::current(),
            dispatch: Arc::downgrade(dispatch),
            accepting: Mutex::default(),
        };
        for bound in bound {
            let accepting = listening.accept_from(bound)?;
            listening.accepting.lock().push(accepting);
        }
        Ok(listening)
    }

    fn accept_from(&self, bound: Bound) -> io::Result<Accepting> {
        let Some(dispatch) = self.dispatch.upgrade() else { return Err(io::ErrorKind::NotConnected.into()) };
        let _in_the_runtime = self.runtime.enter();
        let (closing, closed) = mpsc::channel();
        let open = Open { listener: TcpListener::from_std(bound.socket)?, _closing: closing };
        let task = self.runtime.spawn(async move {
            let open = open;
            loop {
                match open.listener.accept().await {
                    Ok((stream, peer)) => dispatch.tcp(stream, peer),
                    Err(error) => rest_if_exhausted(&error).await,
                }
            }
        });
        Ok(Accepting { at: bound.at, task, closed })
    }

    /// Listens where the new settings say and no longer anywhere else. The caller holds no lock that accepting needs.
    ///
    /// # Errors
    /// An address could not be had; what was listened on before still is.
    pub fn follow(&self, new: &Settings, old: &Settings) -> Result<(), Unchanged> {
        let mut accepting = self.accepting.lock();
        let wanted: Vec<Endpoint> = endpoints(new).map(|(at, _)| at).collect();
        let (stays, mut goes): (Vec<_>, Vec<_>) =
            std::mem::take(&mut *accepting).into_iter().partition(|a| wanted.contains(&a.at));
        *accepting = stays;
        let present: Vec<Endpoint> = accepting.iter().map(|a| a.at.clone()).collect();
        let mut bound = bind_all(new, &present);
        if matches!(&bound, Err((_, error)) if error.kind() == io::ErrorKind::AddrInUse)
            && goes.iter().any(|a| a.at.port == new.port)
        {
            close(std::mem::take(&mut goes));
            bound = bind_all(new, &present);
        }
        let result = bound.and_then(|bound| {
            if bound.is_empty() && accepting.is_empty() && !wanted.is_empty() {
                return Err((wanted[0].clone(), io::ErrorKind::AddrNotAvailable.into()));
            }
            let at =
                bound.first().map_or_else(|| Endpoint { host: String::new(), port: 0 }, |b| b.at.clone());
            let begun: io::Result<Vec<_>> = bound.into_iter().map(|bound| self.accept_from(bound)).collect();
            begun.map_err(|error| (at, error))
        });
        match result {
            Ok(begun) => {
                accepting.extend(begun);
                close(goes);
                Ok(())
            }
            Err((at, why)) => {
                warn!("cannot listen on {} port {}: {why}; nothing has changed", at.host, at.port);
                accepting.extend(goes);
                let present: Vec<Endpoint> = accepting.iter().map(|a| a.at.clone()).collect();
                let again =
                    bind_all(old, &present).map_err(|(at, why)| format!("{} {}: {why}", at.host, at.port));
                let again = again.and_then(|bound| {
                    let begun = bound.into_iter().map(|bound| self.accept_from(bound));
                    begun.collect::<io::Result<Vec<_>>>().map_err(|why| why.to_string())
                });
                match again {
                    Ok(begun) => accepting.extend(begun),
                    Err(why) => error!("an address that was given up cannot be listened on again: {why}"),
                }
                Err(Unchanged)
            }
        }
    }
}

/// Ends listeners, and waits until their sockets are closed.
fn close(listeners: Vec<Accepting>) {
    for listener in &listeners {
        listener.task.abort();
    }
    for listener in listeners {
        // Nothing is ever sent: this is the moment at which the other end is dropped.
        let _ = listener.closed.recv();
    }
}
