//! The notation of arguments: what each form means.

use kvdb_commands::syntax::{Argument, Kind, parse};

/// Arguments in a notation of their own, so that a tree can be compared at a glance: name, `!` and kind where it is not
/// a string, `@` and token, `?` optional, `*` multiple, `**` multiple with the token.
fn shown(arguments: &[Argument<'_>]) -> String {
    arguments.iter().map(show).collect::<Vec<_>>().join(" ")
}

fn show(argument: &Argument<'_>) -> String {
    let mut text = argument.name.clone();
    match &argument.kind {
        Kind::String => {}
        Kind::OneOf(parts) => {
            text += &format!("<{}>", parts.iter().map(show).collect::<Vec<_>>().join(" | "))
        }
        Kind::Block(parts) => text += &format!("({})", shown(parts)),
        kind => text += &format!("!{}", kind.name()),
    }
    if let Some(token) = argument.token {
        text += &format!("@{token}");
    }
    if argument.optional {
        text.push('?');
    }
    if argument.multiple {
        text += if argument.multiple_token { "**" } else { "*" };
    }
    text
}

#[track_caller]
fn is(text: &str, expected: &str) {
    assert_eq!(shown(&parse(text).expect("it follows the notation")), expected, "{text}");
}

#[test]
fn names_tell_types_unless_the_type_is_given() {
    is("", "");
    is("key value", "key!key value");
    is("key increment", "key!key increment!integer");
    is("key increment:double", "key!key increment!double");
    is("when:unix-time unix-time-seconds", "when!unix-time unix-time-seconds!unix-time");
    is("source destination pattern ip:port", "source!key destination!key pattern!pattern ip:port");
    is("destination:string", "destination");
}

#[test]
fn tokens_take_the_plain_arguments_behind_them() {
    is("NX", "nx!pure-token@NX");
    is("[EX seconds]", "seconds!integer@EX?");
    is("LIMIT offset count", "limit(offset!integer count!integer)@LIMIT");
    is("EX seconds NX", "seconds!integer@EX nx!pure-token@NX");
    is("OVERFLOW <WRAP|SAT>", "overflow<wrap!pure-token@WRAP | sat!pure-token@SAT>@OVERFLOW");
    is("ID client-id [client-id ...]", "client-id!integer@ID*");
    is("MATCH pattern [COUNT count]", "pattern!pattern@MATCH count!integer@COUNT?");
    is("LIB-NAME libname", "libname@LIB-NAME");
}

#[test]
fn brackets_mean_choices_and_what_may_be_left_out() {
    is("[NX|XX]", "nx_xx<nx!pure-token@NX | xx!pure-token@XX>?");
    is(
        "<host port|NO ONE>",
        "option<host_port(host port!integer) | no_one(no!pure-token@NO one!pure-token@ONE)>",
    );
    is(
        "[start end [BYTE|BIT]]",
        "start_end_byte_bit(start!integer end!integer byte_bit<byte!pure-token@BYTE | bit!pure-token@BIT>?)?",
    );
    is("[username] password", "username? password");
    is("[a | b]", "option<a | b>?");
}

#[test]
fn dots_mean_as_often_as_wanted() {
    is("key [key ...]", "key!key*");
    is("key [key …]", "key!key*");
    is("[key ...]", "key!key?*");
    is("destkey key [key ...]", "destkey!key key!key*");
    is("key value [key value ...]", "key_value(key!key value)*");
    is("first key value [key value ...] [NX]", "first key_value(key!key value)* nx!pure-token@NX?");
    is("[GET pattern [GET pattern ...]]", "pattern!pattern@GET?**");
    is("[GET pattern ...]", "pattern!pattern@GET?**");
    is("[a|b ...]", "option<a | b>?*");
    is("<a|b> [<a|b> ...]", "option<a | b>*");
}

#[test]
fn the_grammar_of_bitfield_can_be_written() {
    is(
        "key [GET encoding offset|[OVERFLOW <WRAP|SAT|FAIL>] <SET encoding offset value|INCRBY encoding offset increment> ...]",
        "key!key option<get(encoding offset!integer)@GET | overflow_option(\
         overflow<wrap!pure-token@WRAP | sat!pure-token@SAT | fail!pure-token@FAIL>@OVERFLOW? \
         option<set(encoding offset!integer value)@SET | incrby(encoding offset!integer increment!integer)@INCRBY>)>?*",
    );
}

#[test]
fn what_does_not_follow_the_notation_is_refused_where_it_stops() {
    for (text, at) in [
        ("[a", 2),
        ("<a", 2),
        ("a]", 1),
        ("a|b", 1),
        ("[]", 1),
        ("[a|]", 3),
        ("a ...", 5),
        ("[a ... b]", 6),
        ("[a>", 2),
    ] {
        let error = parse(text).expect_err(text);
        assert_eq!(error.at, at, "{text}: {error}");
    }
}
