;; Imports a clock from WASI: refused at upload.
(import "wasi_snapshot_preview1" "clock_time_get"
  (func (param i32 i64 i32) (result i32)))
