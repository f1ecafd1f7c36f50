;; Grows its table until the server says no.
(table $table 1 funcref)

(func $evaluate (param i32) (result i32)
  (loop $again
    (drop (table.grow $table (ref.null func) (i32.const 100)))
    (br $again))
  (unreachable))
