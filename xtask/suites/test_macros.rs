//! The attribute `async_test` of the crate `test-macros`, which redis-rs' tests use and which is published nowhere. This is
//! KVDB's own, made after how the tests use it; `cargo xtask suites` makes a crate of it beside the downloaded tests.
//!
//! ```text
//! #[async_test]
//! async fn test_args(mut con: impl ConnectionLike) { … }
//! ```
//!
//! becomes a test that runs the function to its end on tokio. Each parameter says what the function is to be given: an
//! `impl` is an asynchronous connection to a server that was started for this test alone, a `bool` means that there is a
//! test for either value.

use std::str::FromStr as _;

use proc_macro::{Delimiter, Ident, TokenStream, TokenTree};

/// Makes tests of an asynchronous function.
#[proc_macro_attribute]
pub fn async_test(arguments: TokenStream, function: TokenStream) -> TokenStream {
    if !arguments.is_empty() {
        return error("async_test takes no arguments here");
    }
    match Function::read(function) {
        Ok(function) => function.tests(),
        Err(why) => error(why),
    }
}

fn error(why: &str) -> TokenStream {
    TokenStream::from_str(&format!("::core::compile_error!({why:?});")).expect("is Rust")
}

/// An asynchronous function, in pieces.
struct Function {
    /// What stands before it: `#[cfg(…)]`, `#[allow(…)]`.
    attributes: TokenStream,
    /// The function itself, without them.
    item: TokenStream,
    name: Ident,
    parameters: Vec<Parameter>,
    /// `-> …`, or nothing.
    returns: TokenStream,
}

enum Parameter {
    Connection,
    /// Named so.
    Bool(String),
}

impl Function {
    fn read(function: TokenStream) -> Result<Self, &'static str> {
        let tokens: Vec<TokenTree> = function.into_iter().collect();
        let mut start = 0;
        while matches!(&tokens[start..], [TokenTree::Punct(hash), TokenTree::Group(_), ..] if hash.as_char() == '#')
        {
            start += 2;
        }
        let keyword =
            tokens.iter().position(|token| is_ident(token, "fn")).ok_or("async_test is for functions")?;
        let [TokenTree::Ident(name), TokenTree::Group(parameters), returns @ .., TokenTree::Group(_)] =
            &tokens[keyword + 1..]
        else {
            return Err("async_test takes functions without type parameters");
        };
        if parameters.delimiter() != Delimiter::Parenthesis {
            return Err("async_test takes functions without type parameters");
        }
        Ok(Self {
            attributes: tokens[..start].iter().cloned().collect(),
            item: tokens[start..].iter().cloned().collect(),
            name: name.clone(),
            parameters: parameters_of(parameters.stream())?,
            returns: returns.iter().cloned().collect(),
        })
    }

    /// One test, or as many as the truth values can be.
    fn tests(&self) -> TokenStream {
        let bools =
            self.parameters.iter().filter(|parameter| matches!(parameter, Parameter::Bool(_))).count();
        (0..1_u32 << bools).map(|values| self.test(values)).collect()
    }

    /// The test with these truth values, a bit for each.
    fn test(&self, mut values: u32) -> TokenStream {
        let (attributes, item, returns) = (&self.attributes, &self.item, &self.returns);
        let (mut test, mut given) = (self.name.to_string(), String::new());
        for parameter in &self.parameters {
            match parameter {
                Parameter::Connection => given.push_str("context.async_connection().await.unwrap(),"),
                Parameter::Bool(name) => {
                    let value = values & 1 == 1;
                    values >>= 1;
                    test.push_str(&format!("_{name}_{value}"));
                    given.push_str(&format!("{value},"));
                }
            }
        }
        // Functions without a connection start their servers themselves.
        let has_connection = |parameter: &Parameter| matches!(parameter, Parameter::Connection);
        let context = match self.parameters.iter().any(has_connection) {
            true => "let context = crate::support::TestContext::new();",
            false => "",
        };
        // What runs a future keeps in mind that something has panicked, until it has run another one: without the second
        // run here, the test after a failed one would fail too.
        let run = format!(
            "{context} let run = || crate::support::block_on_all(
                async {{ {name}({given}).await }},
                crate::support::RuntimeType::Tokio,
            );
            ::std::panic::catch_unwind(::std::panic::AssertUnwindSafe(run)).unwrap_or_else(|panic| {{
                let clear = || crate::support::block_on_all(async {{}}, crate::support::RuntimeType::Tokio);
                let _ = ::std::panic::catch_unwind(clear);
                ::std::panic::resume_unwind(panic)
            }})",
            name = self.name
        );
        let head = TokenStream::from_str(&format!("#[test] fn {test}()")).expect("is Rust");
        // The function goes in as the tokens that it was, so that a failure names its line.
        let mut body = item.clone();
        body.extend(TokenStream::from_str(&run).expect("is Rust"));
        let body = TokenTree::Group(proc_macro::Group::new(Delimiter::Brace, body));
        [attributes.clone(), head, returns.clone(), body.into()].into_iter().collect()
    }
}

fn is_ident(token: &TokenTree, name: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident.to_string() == name)
}

fn is_punct(token: &TokenTree, char: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == char)
}

/// Reads `mut con: impl AsyncCommands + Clone, atomic: bool`. Commas between `<` and `>` are not foreseen: no test has any,
/// and one that had would not compile.
fn parameters_of(list: TokenStream) -> Result<Vec<Parameter>, &'static str> {
    let tokens: Vec<TokenTree> = list.into_iter().collect();
    let mut parameters = Vec::new();
    for parameter in tokens.split(|token| is_punct(token, ',')).filter(|parameter| !parameter.is_empty()) {
        let colon =
            parameter.iter().position(|token| is_punct(token, ':')).ok_or("a parameter has no type")?;
        let (name, of) = (&parameter[..colon], &parameter[colon + 1..]);
        parameters.push(match (name, of) {
            ([.., TokenTree::Ident(_)], [first, ..]) if is_ident(first, "impl") => Parameter::Connection,
            ([.., TokenTree::Ident(name)], [only]) if is_ident(only, "bool") => {
                Parameter::Bool(name.to_string())
            }
            _ => return Err("async_test gives connections (`impl …`) and truth values (`bool`)"),
        });
    }
    Ok(parameters)
}
