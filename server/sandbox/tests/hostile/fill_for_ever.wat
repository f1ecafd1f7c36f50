;; Fills 2 MiB again and again: one instruction each, so only a charge by the byte stops it soon.
(memory $memory 40)

(func $evaluate (param i32) (result i32)
  (loop $again
    (memory.fill (i32.const 65536) (i32.const 65) (i32.const 0x200000))
    (br $again))
  (unreachable))
