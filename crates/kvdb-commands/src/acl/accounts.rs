//! All users of a server, and what their connections hold of them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};

use super::check::Reason;
use super::log::{AccessLog, Denial};
use super::password::Password;
use super::rules::RuleError;
use super::user::{Defaults, User};

/// The user that connections are before they say who they are.
pub(super) const DEFAULT: &[u8] = b"default";

/// A name, with the rights that belong to it now. A connection keeps the account that it has, whatever becomes of it.
///
/// # Invariants
/// - `unrestricted` is never true where the rights are not, once a change has been told.
pub struct Account {
    name: Box<[u8]>,
    unrestricted: AtomicBool,
    user: RwLock<Arc<User>>,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Account").field(&String::from_utf8_lossy(&self.name)).finish()
    }
}

impl Account {
    fn new(name: &[u8], user: User) -> Self {
        let unrestricted = AtomicBool::new(user.is_unrestricted());
        Self { name: name.into(), unrestricted, user: RwLock::new(Arc::new(user)) }
    }

    /// Its name.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Whether it may do everything: then there is nothing to check.
    #[inline]
    pub fn is_unrestricted(&self) -> bool {
        self.unrestricted.load(Ordering::Relaxed)
    }

    /// Its rights now.
    pub fn user(&self) -> Arc<User> {
        self.user.read().clone()
    }

    fn replace(&self, user: User) {
        let mut rights = self.user.write();
        self.unrestricted.store(user.is_unrestricted(), Ordering::Relaxed);
        *rights = Arc::new(user);
    }
}

/// What has changed for the connections of an account.
#[derive(Debug)]
pub enum Change {
    /// It is no more, or another one of the same name: they are to be closed.
    Gone(Arc<Account>),
    /// It has other rights: those that listen to what they may not any more are to be closed.
    Rights(Arc<Account>),
}

/// All users.
///
/// # Invariants
/// - There is always a user `default`, and its account is always the same.
pub struct Accounts {
    by_name: Mutex<BTreeMap<Box<[u8]>, Arc<Account>>>,
    default: Arc<Account>,
    all_channels: AtomicBool,
    log: Mutex<AccessLog>,
    log_max: AtomicUsize,
    denied: [AtomicU64; 4],
}

impl Default for Accounts {
    /// The user `default` alone, who may do everything without a password.
    fn default() -> Self {
        let default = Arc::new(Account::new(DEFAULT, User::unrestricted()));
        Self {
            by_name: Mutex::new(BTreeMap::from([(DEFAULT.into(), default.clone())])),
            default,
            all_channels: AtomicBool::new(false),
            log: Mutex::default(),
            log_max: AtomicUsize::new(128),
            denied: Default::default(),
        }
    }
}

impl Accounts {
    /// Sets what users begin with, and how many entries the log keeps.
    pub fn configure(&self, defaults: Defaults, log_max: usize) {
        self.all_channels.store(defaults.all_channels, Ordering::Relaxed);
        self.log_max.store(log_max, Ordering::Relaxed);
    }

    /// What users begin with.
    pub fn defaults(&self) -> Defaults {
        Defaults { all_channels: self.all_channels.load(Ordering::Relaxed) }
    }

    /// The account of `default`.
    pub fn default_account(&self) -> &Arc<Account> {
        &self.default
    }

    /// Whether a connection that has said nothing is nobody.
    pub fn requires_auth(&self) -> bool {
        let user = self.default.user();
        !user.nopass || !user.enabled
    }

    /// The account of a name.
    pub fn find(&self, name: &[u8]) -> Option<Arc<Account>> {
        self.by_name.lock().get(name).cloned()
    }

    /// All accounts, by name.
    pub fn all(&self) -> Vec<Arc<Account>> {
        self.by_name.lock().values().cloned().collect()
    }

    /// The account of a name and its password.
    pub fn authenticate(&self, name: &[u8], password: &[u8]) -> Option<Arc<Account>> {
        match self.find(name) {
            Some(account) => account.user().admits(password).then_some(account),
            None => {
                // As long as for a user that there is.
                let _hash = Password::of(password);
                None
            }
        }
    }

    /// Applies rules to a user, who is made where there is none of that name: all rules or none.
    ///
    /// # Errors
    /// The first rule that is wrong, by its index.
    pub fn set(&self, name: &[u8], rules: &[Vec<u8>]) -> Result<Change, (usize, RuleError)> {
        let defaults = self.defaults();
        let mut by_name = self.by_name.lock();
        let known = by_name.get(name);
        let mut user = known.map_or_else(|| User::new(defaults), |account| (*account.user()).clone());
        for (index, rule) in rules.iter().enumerate() {
            user.apply(rule, defaults).map_err(|error| (index, error))?;
        }
        let account = match known {
            Some(account) => {
                account.replace(user);
                account.clone()
            }
            None => {
                let account = Arc::new(Account::new(name, user));
                by_name.insert(name.into(), account.clone());
                account
            }
        };
        Ok(Change::Rights(account))
    }

    /// Removes a user. What connections still hold of it may do nothing from now on.
    pub fn remove(&self, name: &[u8]) -> Option<Change> {
        if name == DEFAULT {
            return None;
        }
        let account = self.by_name.lock().remove(name)?;
        account.replace(User::new(Defaults::default()));
        Some(Change::Gone(account))
    }

    /// Puts these users in the place of all that there are. Without a `default` among them, it may do everything.
    pub fn replace_all(&self, mut users: BTreeMap<Box<[u8]>, User>) -> Vec<Change> {
        let mut by_name = self.by_name.lock();
        let mut changes = Vec::new();
        users.entry(DEFAULT.into()).or_insert_with(User::unrestricted);
        by_name.retain(|name, account| {
            if users.contains_key(name) {
                return true;
            }
            account.replace(User::new(Defaults::default()));
            changes.push(Change::Gone(account.clone()));
            false
        });
        for (name, user) in users {
            match by_name.get(&name) {
                Some(account) if *account.user() == user => {}
                Some(account) => {
                    account.replace(user);
                    let is_default = Arc::ptr_eq(account, &self.default);
                    let account = account.clone();
                    changes.push(if is_default { Change::Rights(account) } else { Change::Gone(account) });
                }
                None => {
                    let account = Arc::new(Account::new(&name, user));
                    by_name.insert(name, account);
                }
            }
        }
        changes
    }

    /// Gives `default` this password alone, or none.
    pub fn set_default_password(&self, password: Option<&[u8]>) {
        let rule = password.map_or_else(|| b"nopass".to_vec(), |password| [b">", password].concat());
        let set = self.set(DEFAULT, &[b"resetpass".to_vec(), rule]);
        debug_assert!(set.is_ok(), "both are rules");
    }

    /// The text of the file of users.
    pub fn describe_all(&self) -> Vec<u8> {
        let mut text = Vec::new();
        for account in self.all() {
            text.extend_from_slice(&account.describe());
            text.push(b'\n');
        }
        text
    }

    /// Notes and counts that something was denied.
    pub fn deny(&self, denial: Denial) {
        self.denied[denial.reason as usize].fetch_add(1, Ordering::Relaxed);
        self.log.lock().add(denial, self.log_max.load(Ordering::Relaxed));
    }

    /// How often something was denied for a reason.
    pub fn denied(&self, reason: Reason) -> u64 {
        self.denied[reason as usize].load(Ordering::Relaxed)
    }

    /// Sets the counts of denials to zero.
    pub fn reset_counts(&self) {
        self.denied.iter().for_each(|count| count.store(0, Ordering::Relaxed));
    }

    /// The log of what was denied.
    pub fn log(&self) -> &Mutex<AccessLog> {
        &self.log
    }
}

impl Account {
    /// The line of ACL LIST.
    pub fn describe(&self) -> Vec<u8> {
        [b"user ", &*self.name, b" ", &*self.user().describe()].concat()
    }
}
