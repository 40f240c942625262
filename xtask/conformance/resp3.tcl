# Makes every client of the suite speak RESP3, for `cargo xtask conformance --resp3`. The release that the suite belongs to
# has no such mode. It is read behind the suite's own client library.
#
# A connection says HELLO 3 before the test has it. What RESP3 only shapes otherwise is told in the shape of RESP2, since
# that is what the tests expect: a map is a list of keys and values, a double is its digits, pairs of a member and a score
# are flat. A test that says HELLO itself has a connection of its own kind from then on.

array set ::redis::forced {}
# The names and arguments of commands whose replies have not been read yet, for each connection.
array set ::redis::asked {}

rename redis redis_as_it_comes
proc redis {{server 127.0.0.1} {port 6379} {defer 0} {tls 0} {tlsoptions {}} {readraw 0}} {
    set handle [redis_as_it_comes $server $port $defer $tls $tlsoptions $readraw]
    set id $::redis::id
    set fd $::redis::fd($id)
    puts -nonewline $fd "*2\r\n\$5\r\nHELLO\r\n\$1\r\n3\r\n"
    flush $fd
    set ::redis::asked($id) {}
    # A server that asks for a password answers with an error, and the connection stays as it is.
    set ::redis::forced($id) [expr {![catch {::redis::read_forced $fd}]}]
    return $handle
}

rename ::redis::__dispatch__raw__ ::redis::dispatch_as_it_comes
proc ::redis::__dispatch__raw__ {id method argv} {
    if {[info exists ::redis::forced($id)] && $::redis::forced($id)} {
        set command [string tolower $method]
        if {$command in {hello reset}} {
            set ::redis::forced($id) 0
        } elseif {[info command ::redis::__method__$method] eq {} && ![string match {*subscribe} $command]} {
            lappend ::redis::asked($id) [concat [list $command] $argv]
        }
    }
    ::redis::dispatch_as_it_comes $id $method $argv
}

rename ::redis::redis_read_reply ::redis::read_as_it_comes
proc ::redis::redis_read_reply {id fd} {
    if {![info exists ::redis::forced($id)] || !$::redis::forced($id) || $::redis::readraw($id)} {
        return [::redis::read_as_it_comes $id $fd]
    }
    set failed [catch {::redis::read_forced $fd type} reply]
    if {$type eq {}} {
        catch {close $fd}
        set ::redis::fd($id) {}
        return -code error "I/O error reading reply"
    }
    if {$type eq {>}} {
        return $reply
    }
    set asked [lindex $::redis::asked($id) 0]
    set ::redis::asked($id) [lrange $::redis::asked($id) 1 end]
    if {$failed} {
        return -code error $reply
    }
    return [::redis::in_the_shape_of_resp2 $asked $reply]
}

# Reads one reply; `kind` becomes its first byte.
proc ::redis::read_forced {fd {kind {}}} {
    if {$kind ne {}} {
        upvar $kind type
    }
    set type [redis_safe_read $fd 1]
    switch -exact -- $type {
        {} {return -code error "I/O error reading reply"}
        _ {return [redis_read_null $fd]}
        : - ( - + - , {return [redis_read_line $fd]}
        - {return -code error [redis_read_line $fd]}
        # {return [redis_read_bool $fd]}
        = {return [redis_read_verbatim_str $fd]}
        $ {return [redis_bulk_read $fd]}
    }
    set left [redis_read_line $fd]
    if {$type in {% |}} {
        set left [expr {$left * 2}]
    }
    set elements {}
    set errors {}
    for {} {$left > 0} {incr left -1} {
        if {[catch {::redis::read_forced $fd} element]} {
            lappend errors $element
        }
        lappend elements $element
    }
    if {$type eq {|}} {
        return [::redis::read_forced $fd type]
    }
    if {$errors ne {}} {
        return -code error [lindex $errors 0]
    }
    return $elements
}

proc ::redis::in_the_shape_of_resp2 {asked reply} {
    set command [lindex $asked 0]
    set has_option [expr {[lsearch -nocase -regexp [lrange $asked 1 end] {^with(scores|values)$}] >= 0}]
    switch -exact -- $command {
        zrange - zrevrange - zrangebyscore - zrevrangebyscore - zunion - zinter - zdiff - zrandmember - hrandfield {
            if {$has_option} {
                return [concat {*}$reply]
            }
        }
        zpopmin - zpopmax {
            if {[llength $asked] > 2} {
                return [concat {*}$reply]
            }
        }
        xread - xreadgroup {
            set streams {}
            foreach {stream entries} $reply {
                lappend streams [list $stream $entries]
            }
            return $streams
        }
    }
    return $reply
}
