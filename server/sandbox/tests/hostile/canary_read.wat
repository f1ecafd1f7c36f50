;; Traps if its fresh memory, read every 64 bytes, is not all zeros.
(memory $memory 60)

(func $evaluate (param i32) (result i32)
  (local $at i32)
  (local.set $at (i32.const 131072))
  (loop $again
    (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then (unreachable)))
    (local.set $at (i32.add (local.get $at) (i32.const 64)))
    (br_if $again (i32.lt_u (local.get $at) (i32.const 931072))))
  (i32.const 2304))
