//! `cjson.decode`.

use mlua::{LightUserData, Lua, LuaString, MultiValue, Table, Value};

use super::MAX_DEPTH;
use super::config::Config;
use super::token::{Lexer, Token};
use crate::arguments::Arguments;
use crate::builder::Builder;
use crate::state::RunState;
use crate::thrown::error_here;

pub(super) fn decode(lua: &Lua, state: &RunState, config: &Config, args: MultiValue) -> mlua::Result<Value> {
    let args = Arguments::new(lua, args);
    if args.len() != 1 {
        return Err(args.error(1, "expected 1 argument"));
    }
    let text = args.bytes(1)?;
    if let [0, _, ..] | [_, 0, ..] = &*text {
        return Err(error_here(lua, "JSON parser does not support UTF-16 or UTF-32"));
    }
    let options = config.options();
    let mut decoder = Decoder {
        lua,
        builder: Builder::new(lua, state, text.len())?,
        lexer: Lexer::new(&text, options.decode_invalid_numbers),
        max_depth: options.decode_max_depth.min(MAX_DEPTH),
    };
    let value = decoder.document()?;
    match decoder.lexer.next() {
        (Token::End, _) => Ok(value),
        (token, at) => Err(decoder.unexpected("the end", token, at)),
    }
}

struct Decoder<'a> {
    lua: &'a Lua,
    builder: Builder<'a>,
    lexer: Lexer<'a>,
    max_depth: u32,
}

/// A table that is not complete yet, and where its next value goes.
enum Open {
    Array(Table, i64),
    Object(Table, LuaString),
}

impl Decoder<'_> {
    /// One value with everything in it. Nesting is kept in a list of open tables rather than by recursion, so that it
    /// takes no stack.
    fn document(&mut self) -> mlua::Result<Value> {
        let mut open: Vec<Open> = Vec::new();
        loop {
            let mut value = match self.lexer.next() {
                (Token::ArrayBegin, _) => match self.begin_array(&mut open)? {
                    Some(empty) => empty,
                    None => continue,
                },
                (Token::ObjectBegin, _) => match self.begin_object(&mut open)? {
                    Some(empty) => empty,
                    None => continue,
                },
                (token, at) => self.scalar(token, at)?,
            };
            // The value may be the last of its table, and that of the one around it.
            loop {
                self.builder.count()?;
                match open.pop() {
                    None => return Ok(value),
                    Some(Open::Array(table, index)) => {
                        table.raw_set(index, value)?;
                        match self.lexer.next() {
                            (Token::Comma, _) => open.push(Open::Array(table, index + 1)),
                            (Token::ArrayEnd, _) => {
                                value = Value::Table(table);
                                continue;
                            }
                            (token, at) => return Err(self.unexpected("comma or array end", token, at)),
                        }
                    }
                    Some(Open::Object(table, key)) => {
                        table.raw_set(key, value)?;
                        match self.lexer.next() {
                            (Token::Comma, _) => {
                                let (token, at) = self.lexer.next();
                                let key = self.key(token, at)?;
                                open.push(Open::Object(table, key));
                            }
                            (Token::ObjectEnd, _) => {
                                value = Value::Table(table);
                                continue;
                            }
                            (token, at) => return Err(self.unexpected("comma or object end", token, at)),
                        }
                    }
                }
                break;
            }
        }
    }

    /// After a bracket: the table if it is empty already, else it is open.
    fn begin_array(&mut self, open: &mut Vec<Open>) -> mlua::Result<Option<Value>> {
        self.check_depth(open.len() + 1)?;
        let table = self.builder.table(0, 0)?;
        if self.lexer.take(Token::ArrayEnd) {
            return Ok(Some(Value::Table(table)));
        }
        open.push(Open::Array(table, 1));
        Ok(None)
    }

    /// The same after a brace, and the first key.
    fn begin_object(&mut self, open: &mut Vec<Open>) -> mlua::Result<Option<Value>> {
        self.check_depth(open.len() + 1)?;
        let table = self.builder.table(0, 0)?;
        let (token, at) = self.lexer.next();
        if token == Token::ObjectEnd {
            return Ok(Some(Value::Table(table)));
        }
        let key = self.key(token, at)?;
        open.push(Open::Object(table, key));
        Ok(None)
    }

    /// A key and the colon behind it.
    fn key(&mut self, token: Token, at: usize) -> mlua::Result<LuaString> {
        if token != Token::String {
            return Err(self.unexpected("object key string", token, at));
        }
        let key = self.builder.string(&self.lexer.string)?;
        match self.lexer.next() {
            (Token::Colon, _) => Ok(key),
            (token, at) => Err(self.unexpected("colon", token, at)),
        }
    }

    fn scalar(&mut self, token: Token, at: usize) -> mlua::Result<Value> {
        match token {
            Token::String => Ok(Value::String(self.builder.string(&self.lexer.string)?)),
            Token::Number(number) => Ok(Value::Number(number)),
            Token::Boolean(value) => Ok(Value::Boolean(value)),
            Token::Null => Ok(Value::LightUserData(LightUserData(std::ptr::null_mut()))),
            _ => Err(self.unexpected("value", token, at)),
        }
    }

    fn check_depth(&self, depth: usize) -> mlua::Result<()> {
        if depth <= self.max_depth as usize {
            return Ok(());
        }
        let at = self.lexer.position();
        Err(error_here(
            self.lua,
            format!("Found too many nested data structures ({depth}) at character {at}"),
        ))
    }

    fn unexpected(&self, wanted: &str, token: Token, at: usize) -> mlua::Error {
        let message = format!("Expected {wanted} but found {} at character {}", token.name(), at + 1);
        error_here(self.lua, message)
    }
}
