//! Functions: what is known of them, and how they come into several machines.

use std::sync::Arc;

use kvdb_lua::{Ending, Flags, FunctionRegistry, Libraries, Library, Vm, VmOptions};
use kvdb_resp::{Protocol, Reply};

use crate::mock::Mock;
use crate::notation::Action;
use crate::scripts::Server;

const COUNTER: &str = "#!lua name=counter
local function count(keys, args)
    return redis.call('INCR', keys[1])
end
redis.register_function('count', count)
redis.register_function{
    function_name = 'read',
    callback = function(keys) return redis.call('GET', keys[1]) end,
    description = 'Reads a counter',
    flags = {'no-writes', 'allow-stale'},
}";

#[test]
fn a_library_says_what_it_has() {
    let mut server = Server::new();
    let library = server.load(COUNTER).unwrap();
    assert_eq!((library.name(), library.code()), ("counter", COUNTER.as_bytes()));
    let [count, read] = library.functions() else { panic!("there are two functions") };
    assert_eq!((count.name.as_str(), &count.description, count.flags), ("count", &None, Flags::default()));
    assert_eq!(read.description.as_deref(), Some(b"Reads a counter".as_slice()));
    assert_eq!(read.flags.names().collect::<Vec<_>>(), ["no-writes", "allow-stale"]);
    assert!(server.registry.find(b"READ").unwrap().info().flags.contains(Flags::NO_WRITES));
    assert_eq!(server.registry.counts(), (1, 2));
}

fn call(vm: &mut Vm, registry: &FunctionRegistry, host: &mut Mock, name: &str) -> String {
    let function = registry.find(name.as_bytes()).expect("the function is registered");
    let mut out = Vec::new();
    let ending = vm.call(host, &function, &[b"k"], &[], &mut Reply::new(&mut out, Protocol::Resp2));
    assert_ne!(ending, Ending::Interrupted);
    String::from_utf8(out).unwrap()
}

#[test]
fn every_machine_loads_a_library_when_it_needs_it() {
    let registry = FunctionRegistry::default();
    let mut host = Mock::default();
    let (mut first, mut second) = (Vm::new(VmOptions::default()), Vm::new(VmOptions::default()));
    first.load_library(&mut host, &registry, COUNTER.as_bytes(), false).unwrap();
    assert_eq!(call(&mut second, &registry, &mut host, "count"), ":1\r\n");
    assert_eq!(call(&mut first, &registry, &mut host, "count"), ":2\r\n");
    let replaced = COUNTER.replace("'INCR', keys[1]", "'ECHO', 'new'");
    first.load_library(&mut host, &registry, replaced.as_bytes(), true).unwrap();
    assert_eq!(call(&mut second, &registry, &mut host, "count"), "$3\r\nnew\r\n");
    assert_eq!(call(&mut first, &registry, &mut host, "count"), "$3\r\nnew\r\n");
    assert!(registry.remove(b"counter"));
    assert!(registry.find(b"count").is_none());
}

#[test]
fn a_function_that_was_found_can_be_called_though_its_library_is_gone() {
    let mut server = Server::new();
    server.load(COUNTER).unwrap();
    let function = server.registry.find(b"count").unwrap();
    server.registry.clear();
    let mut out = Vec::new();
    let ending =
        server.vm.call(&mut server.host, &function, &[b"k"], &[], &mut Reply::new(&mut out, Protocol::Resp2));
    assert_eq!((ending, out.as_slice()), (Ending::Returned, b":1\r\n".as_slice()));
}

#[test]
fn libraries_that_are_gone_are_forgotten() {
    let mut server = Server::new();
    for n in 0..2000 {
        let code = format!(
            "#!lua name=l\nlocal big = {{}} for i = 1, 1000 do big[i] = i end
            redis.register_function('f', function() return #big + {n} end)"
        );
        server.load(&code).unwrap();
        let reply = server.run(&Action::Call("f".to_owned()));
        assert_eq!(reply, format!(":{}\r\n", 1000 + n).as_bytes());
    }
    assert!(server.vm.used_memory() < 64 << 20, "{}", server.vm.used_memory());
}

#[test]
fn several_libraries_are_restored_or_none() {
    let mut server = Server::new();
    let read = |server: &mut Server, name: &str, function: &str| {
        let code =
            format!("#!lua name={name}\nredis.register_function('{function}', function() return 1 end)");
        server.vm.check_library(&mut server.host, code.as_bytes()).unwrap()
    };
    let collect = |libraries: Vec<Library>| {
        let mut all = Libraries::default();
        libraries.into_iter().for_each(|library| _ = all.insert(library, false).unwrap());
        all
    };
    let libraries = collect(vec![read(&mut server, "a", "f"), read(&mut server, "b", "g")]);
    server.registry.change(|all| all.join(&libraries, false)).unwrap();
    let libraries = collect(vec![read(&mut server, "c", "h"), read(&mut server, "d", "f")]);
    let refused = server.registry.change(|all| all.join(&libraries, true));
    assert_eq!(refused.unwrap_err(), b"ERR Function f already exists");
    assert_eq!(server.registry.counts(), (2, 2));
    let names: Vec<Arc<_>> = server.registry.libraries();
    assert_eq!(names.iter().map(|library| library.name()).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn scripts_and_functions_have_globals_of_their_own() {
    let mut server = Server::new();
    server.load("#!lua name=l\nredis.register_function('keys', function() return KEYS end)").unwrap();
    assert_eq!(server.eval("return #KEYS"), ":2");
    let reply = server.run(&Action::Call("keys".to_owned()));
    assert!(String::from_utf8_lossy(&reply).contains("nonexistent global variable 'KEYS'"));
    assert_eq!(server.eval("return rawget(redis, 'register_function') == nil"), ":1");
}

#[test]
fn a_library_that_fails_to_load_leaves_the_globals_as_they_were() {
    let mut server = Server::new();
    server.load("#!lua name=l\nredis.register_function('f', function() return type(pairs) end)").unwrap();
    assert!(server.load("#!lua name=m\nredis.nosuch()").is_err());
    assert_eq!(server.run(&Action::Call("f".to_owned())), b"$8\r\nfunction\r\n");
}

#[test]
fn what_a_script_logs_reaches_the_host() {
    let mut server = Server::new();
    server.eval("redis.log(redis.LOG_WARNING, 'a', 1, {}, 2.5) redis.log(redis.LOG_DEBUG, 'b\\nc')");
    server.load("#!lua name=l\nredis.log(redis.LOG_NOTICE, 'loading') redis.register_function('f', function() end)").unwrap();
    let lines: Vec<_> = server.host.log.iter().map(|(level, line)| format!("{level:?} {line}")).collect();
    assert_eq!(lines, ["Warning a 1 2.5", "Debug b\nc", "Notice loading"]);
}

#[test]
fn an_error_of_a_command_is_known_to_be_counted() {
    let mut server = Server::new();
    for (script, counted) in [
        ("return redis.call('nosuch')", true),
        ("error(redis.pcall('nosuch'))", true),
        ("return redis.call()", false),
        ("error('x')", false),
    ] {
        let compiled = server.vm.script(&server.cache, script.as_bytes(), kvdb_lua::Origin::Eval).unwrap();
        let mut out = Vec::new();
        let ending =
            server.vm.eval(&mut server.host, &compiled, &[], &[], &mut Reply::new(&mut out, Protocol::Resp2));
        assert_eq!(ending, Ending::Failed { counted }, "{script}");
    }
}
