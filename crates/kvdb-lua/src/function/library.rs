//! A library as a value: what is listed, saved and given to every VM.

use crate::script::Flags;

use super::Metadata;

/// A library that has been loaded once, so that its functions are known. The VMs load it from its code again, each when
/// it first needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Library {
    pub(crate) metadata: Metadata,
    pub(crate) code: Box<[u8]>,
    pub(crate) functions: Vec<FunctionInfo>,
}

/// A function of a library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionInfo {
    /// Its name, as it was registered. Calls may spell it in any case.
    pub name: String,
    /// What FUNCTION LIST says of it.
    pub description: Option<Vec<u8>>,
    /// What it declares about itself.
    pub flags: Flags,
}

impl Library {
    /// The library's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    /// Its code as it was given, first line included.
    #[must_use]
    pub fn code(&self) -> &[u8] {
        &self.code
    }

    /// Its functions, in the order in which it registered them.
    #[must_use]
    pub fn functions(&self) -> &[FunctionInfo] {
        &self.functions
    }

    /// The code without the text of the first line.
    pub(crate) fn body(&self) -> &[u8] {
        &self.code[self.metadata.code_start..]
    }
}
