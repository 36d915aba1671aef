;; An engine that does what its memory tells it: at 65536 is a number that chooses what, and three
;; more that say how. Its sites are tests of what a hostile memory can make an engine do.
(module
  (import "ssr_v1" "respond" (func $respond (param i32 i32 i32 i32)))
  (import "ssr_v1" "write" (func $write (param i32 i32)))
  (import "ssr_v1" "end" (func $end))
  (import "ssr_v1" "fail" (func $fail (param i32 i32 i32 i32 i32)))
  (import "ssr_v1" "log" (func $log (param i32 i32 i32)))
  (import "ssr_v1" "sleep" (func $sleep (param f64)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 2 24)
  (table 5 funcref)
  (elem (i32.const 0) $double $nothing $wide)
  (global $renders (mut i32) (i32.const 0))
  (type $unary (func (param i32) (result i32)))
  (type $plain (func))

  (func $double (param i32) (result i32) (i32.shl (local.get 0) (i32.const 1)))
  (func $nothing)
  (func $wide (param i64) (result i64) (local.get 0))
  ;; Of two calls a compiler may make a loop of one.
  (func $deep (param i32) (result i32)
    (i32.mul (call $deep (i32.add (local.get 0) (i32.const 1))) (call $deep (i32.const 0))))

  (func $a (result i32) (i32.load (i32.const 65540)))
  (func $b (result i32) (i32.load (i32.const 65544)))
  (func $c (result i32) (i32.load (i32.const 65548)))

  ;; Answers with a number, and with what memory and globals are after it.
  (func $answer (param i64)
    (global.set $renders (i32.add (global.get $renders) (i32.const 1)))
    (i64.store (i32.const 65600) (local.get 0))
    (i32.store (i32.const 65608) (global.get $renders))
    (i32.store (i32.const 65612) (memory.size))
    (i32.store (i32.const 65616) (i32.add (i32.load (i32.const 65616)) (i32.const 1)))
    (call $respond (i32.const 200) (i32.const 0) (i32.const 0) (i32.const 0))
    (call $write (i32.const 65600) (i32.const 20))
    (call $end))
  (func $answer32 (param i32) (call $answer (i64.extend_i32_u (local.get 0))))

  ;; A number that depends on the result of many instructions.
  (func $mix (param $h i64) (param $x i64) (result i64)
    (i64.mul (i64.xor (local.get $h) (local.get $x)) (i64.const 0x100000001b3)))
  (func $compute (param $a i32) (param $b i32) (param $c i32) (result i64)
    (local $h i64) (local $x f64) (local $y f64) (local $f f32) (local $w i64)
    (local.set $w (i64.or (i64.shl (i64.extend_i32_u (local.get $a)) (i64.const 32))
                          (i64.extend_i32_u (local.get $b))))
    (local.set $x (f64.reinterpret_i64 (local.get $w)))
    (local.set $y (f64.convert_i32_s (local.get $c)))
    (local.set $f (f32.reinterpret_i32 (local.get $a)))
    (local.set $h (i64.const 7))
    (local.set $h (call $mix (local.get $h) (i64.extend_i32_s (i32.clz (local.get $a)))))
    (local.set $h (call $mix (local.get $h) (i64.extend_i32_s (i32.ctz (local.get $b)))))
    (local.set $h (call $mix (local.get $h) (i64.extend_i32_s (i32.popcnt (local.get $c)))))
    (local.set $h (call $mix (local.get $h) (i64.clz (local.get $w))))
    (local.set $h (call $mix (local.get $h) (i64.ctz (local.get $w))))
    (local.set $h (call $mix (local.get $h) (i64.popcnt (local.get $w))))
    (local.set $h (call $mix (local.get $h) (i64.extend_i32_u (i32.rotl (local.get $a) (local.get $c)))))
    (local.set $h (call $mix (local.get $h) (i64.rotr (local.get $w) (i64.extend_i32_u (local.get $c)))))
    (local.set $h (call $mix (local.get $h) (i64.extend_i32_u (i32.shl (local.get $a) (local.get $c)))))
    (local.set $h (call $mix (local.get $h) (i64.extend_i32_s (i32.shr_s (local.get $a) (local.get $c)))))
    (local.set $h (call $mix (local.get $h) (i64.shr_s (local.get $w) (i64.extend_i32_u (local.get $c)))))
    (local.set $h (call $mix (local.get $h) (i64.shr_u (local.get $w) (i64.extend_i32_u (local.get $c)))))
    (local.set $h (call $mix (local.get $h) (i64.extend_i32_u (i32.extend8_s (local.get $a)))))
    (local.set $h (call $mix (local.get $h) (i64.extend16_s (local.get $w))))
    (local.set $h (call $mix (local.get $h) (i64.extend32_s (local.get $w))))
    (local.set $h (call $mix (local.get $h) (i64.extend_i32_u (i32.trunc_sat_f64_s (local.get $x)))))
    (local.set $h (call $mix (local.get $h) (i64.extend_i32_u (i32.trunc_sat_f32_u (local.get $f)))))
    (local.set $h (call $mix (local.get $h) (i64.trunc_sat_f64_u (local.get $x))))
    (local.set $h (call $mix (local.get $h) (i64.trunc_sat_f64_s (local.get $x))))
    ;; The sign of a NaN is not defined: numbers only.
    (if (f64.eq (local.get $x) (local.get $x)) (then
      (local.set $h (call $mix (local.get $h) (i64.reinterpret_f64 (f64.nearest (local.get $x)))))
      (local.set $h (call $mix (local.get $h) (i64.reinterpret_f64 (f64.trunc (local.get $x)))))
      (local.set $h (call $mix (local.get $h) (i64.reinterpret_f64 (f64.floor (local.get $x)))))
      (local.set $h (call $mix (local.get $h) (i64.reinterpret_f64 (f64.ceil (local.get $x)))))
      (local.set $h (call $mix (local.get $h) (i64.reinterpret_f64 (f64.min (local.get $x) (local.get $y)))))
      (local.set $h (call $mix (local.get $h) (i64.reinterpret_f64 (f64.max (local.get $x) (local.get $y)))))
      (local.set $h (call $mix (local.get $h) (i64.reinterpret_f64 (f64.copysign (local.get $y) (local.get $x)))))
      (local.set $h (call $mix (local.get $h) (i64.reinterpret_f64 (f64.sqrt (f64.abs (local.get $x))))))
      (local.set $h (call $mix (local.get $h) (i64.extend_i32_u (i32.reinterpret_f32 (f32.demote_f64 (local.get $x))))))))
    (if (f32.eq (local.get $f) (local.get $f)) (then
      (local.set $h (call $mix (local.get $h) (i64.reinterpret_f64 (f64.promote_f32 (local.get $f)))))
      (local.set $h (call $mix (local.get $h) (i64.extend_i32_u (i32.reinterpret_f32 (f32.nearest (local.get $f))))))))
    (local.set $h (call $mix (local.get $h) (i64.reinterpret_f64 (f64.convert_i64_u (local.get $w)))))
    (local.set $h (call $mix (local.get $h) (i64.extend_i32_u (i32.reinterpret_f32 (f32.convert_i64_s (local.get $w))))))
    (local.set $h (call $mix (local.get $h) (i64.extend_i32_u (f64.lt (local.get $x) (local.get $y)))))
    (local.get $h))

  (func $render
    (block $17 (block $16 (block $15 (block $14 (block $13 (block $12 (block $11 (block $10 (block $9
    (block $8 (block $7 (block $6 (block $5 (block $4 (block $3 (block $2 (block $1 (block $0
      (br_table $0 $1 $2 $3 $4 $5 $6 $7 $8 $9 $10 $11 $12 $13 $14 $15 $16 $17 (i32.load (i32.const 65536))))
      ;; 0: computes.
      (return (call $answer (call $compute (call $a) (call $b) (call $c)))))
      ;; 1: does not end.
      (loop (br 0)))
      ;; 2: recurses without end.
      (return (call $answer32 (call $deep (i32.const 0)))))
      ;; 3, 4: loads and stores.
      (return (call $answer (i64.load offset=8 (call $a)))))
      (i64.store offset=8 (call $a) (i64.const -1)) (return (call $answer32 (i32.load (call $a)))))
      ;; 5: calls what a table has.
      (return (call $answer32 (call_indirect (type $unary) (call $b) (call $a)))))
      ;; 6, 7: divides.
      (return (call $answer32 (i32.add (i32.div_s (call $a) (call $b)) (i32.rem_s (call $a) (call $b))))))
      (return (call $answer (i64.div_s (i64.load (i32.const 65540)) (i64.extend_i32_s (call $c))))))
      ;; 8: converts.
      (return (call $answer32 (i32.trunc_f64_s (f64.load (i32.const 65540))))))
      ;; 9: grows.
      (return (call $answer32 (memory.grow (call $a)))))
      ;; 10, 11: fills and copies.
      (memory.fill (call $a) (call $b) (call $c)) (return (call $answer32 (i32.load8_u (call $a)))))
      (memory.copy (call $a) (call $b) (call $c)) (return (call $answer32 (i32.load8_u (call $a)))))
      ;; 12: passes pointers to the host.
      (call $respond (i32.const 200) (call $a) (call $b) (i32.const 0)) (call $write (call $b) (call $c))
      (return (call $end)))
      ;; 13: reports a failure.
      (call $fail (call $a) (i32.const 65536) (call $b) (i32.const 65536) (call $c)) (return))
      ;; 14: waits.
      (call $sleep (f64.load (i32.const 65540))) (return (call $answer32 (i32.const 0))))
      ;; 15: exits.
      (call $exit (call $a)))
      ;; 16: is nearly always in functions of the C library, and 17 in the host's.
      (loop (memory.fill (i32.const 0) (i32.const 1) (i32.const 65536)) (br 0)))
    (loop (drop (call $random (i32.const 0) (i32.const 65536))) (br 0)))

  ;; The request's bytes go where the memory says.
  (func (export "ssr_input") (param i32) (result i32) (i32.load (i32.const 65552)))
  (export "ssr_render" (func $render))
  (func (export "never") unreachable)
  (data (i32.const 65536) "\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00")
  (@custom "ssr:site" "{\"abi\":1,\"built_by\":\"test\"}"))
