//! What is merged: memtables, tables and levels, with one face.

use super::level::LevelIter;
use crate::entry::{Direction, Entry};
use crate::error::Error;
use crate::memtable::MemCursor;
use crate::table::TableIter;

/// One sorted source; it has every key at most once.
#[derive(Debug)]
pub(crate) enum Source {
    /// A memtable.
    Memtable(MemCursor),
    /// A single table.
    Table(TableIter),
    /// Tables that follow each other.
    Level(LevelIter),
}

impl Source {
    /// The current entry, if any is left.
    #[inline]
    pub(super) fn entry(&self) -> Option<Entry<'_>> {
        match self {
            Self::Memtable(cursor) => cursor.entry(),
            Self::Table(table) => table.entry(),
            Self::Level(level) => level.entry(),
        }
    }

    /// The key of the current entry.
    #[inline]
    pub(super) fn key(&self) -> Option<&[u8]> {
        match self {
            Self::Memtable(cursor) => cursor.key(),
            Self::Table(table) => table.entry().map(|entry| entry.key),
            Self::Level(level) => level.entry().map(|entry| entry.key),
        }
    }

    /// Goes to the end where a walk in this direction begins.
    pub(super) fn start(&mut self, direction: Direction) -> Result<(), Error> {
        match (self, direction) {
            (Self::Memtable(cursor), Direction::Forward) => cursor.seek_first(),
            (Self::Memtable(cursor), Direction::Backward) => cursor.seek_last(),
            (Self::Table(table), Direction::Forward) => table.seek(&[])?,
            (Self::Table(table), Direction::Backward) => table.seek_to_last()?,
            (Self::Level(level), Direction::Forward) => level.seek_first()?,
            (Self::Level(level), Direction::Backward) => level.seek_last()?,
        }
        Ok(())
    }

    /// Goes to the first entry with a key not below `key`.
    pub(super) fn seek(&mut self, key: &[u8]) -> Result<(), Error> {
        match self {
            Self::Memtable(cursor) => cursor.seek(key),
            Self::Table(table) => table.seek(key)?,
            Self::Level(level) => level.seek(key)?,
        }
        Ok(())
    }

    /// Goes to the last entry with a key below `key`, or not above it if `inclusive`.
    pub(super) fn seek_back(&mut self, key: &[u8], inclusive: bool) -> Result<(), Error> {
        match self {
            Self::Memtable(cursor) => cursor.seek_back(key, inclusive),
            Self::Table(table) => table.seek_back(key, inclusive)?,
            Self::Level(level) => level.seek_back(key, inclusive)?,
        }
        Ok(())
    }

    /// Goes one entry on.
    #[inline]
    pub(super) fn step(&mut self, direction: Direction) -> Result<(), Error> {
        match (self, direction) {
            (Self::Memtable(cursor), Direction::Forward) => cursor.advance(),
            (Self::Memtable(cursor), Direction::Backward) => cursor.retreat(),
            (Self::Table(table), Direction::Forward) => table.advance()?,
            (Self::Table(table), Direction::Backward) => table.retreat()?,
            (Self::Level(level), Direction::Forward) => level.advance()?,
            (Self::Level(level), Direction::Backward) => level.retreat()?,
        }
        Ok(())
    }
}
