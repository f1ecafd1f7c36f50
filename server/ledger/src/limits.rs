//! Every limit of the disk, with its reason.

/// Largest stored event, in bytes. The tile format for entries has 16-bit lengths, so an event
/// must stay under 65,536; the rules allow less (`writ_core::limits::EVENT_BYTES`).
pub const ENTRY_BYTES: usize = 60 * 1024;
/// Longest key of the entity index, in bytes.
pub const ENTITY_BYTES: usize = 512;
/// Most commands decided and appended as one batch: past this the gain of sharing one fsync is
/// gone and the first command waits for the last.
pub const BATCH_COMMANDS: usize = 1_024;
/// Most bytes of events in one batch; a command is never split, so one batch can be larger.
pub const BATCH_BYTES: usize = 1 << 20;
/// Most commands waiting for the writer. More than a second of work: refusing is kinder.
pub const QUEUED_COMMANDS: usize = 8_192;
/// Most events in one read of the log.
pub const READ_EVENTS: usize = 4_096;
/// Most events in one read of a replay: as many as stay in a processor's cache until they are applied.
pub const REPLAY_EVENTS: usize = 512;
/// How many decoded reads a replay may be ahead of applying them.
pub const REPLAY_AHEAD: usize = 4;
/// Most bytes in one read of the log: what a slow follower keeps in memory.
pub const READ_BYTES: usize = 4 << 20;
/// How often a batch is decided again when other nodes append in between, before it is given up.
pub const CONFLICT_RETRIES: usize = 64;
/// How many past versions of the index are held for `as_of` questions.
pub const PAST_KEPT: usize = 4;
/// Every how many events a replay reports its progress.
pub const PROGRESS_EVERY: u64 = 65_536;
/// How many events the log grows by, at least, before another snapshot is written: about a tenth of a
/// second of a start.
pub const SNAPSHOT_EVERY: u64 = 50_000;
/// How much of a snapshot an application is taken for, when it is asked whether there is room: twice
/// what one with a secret and five grants takes.
pub const SNAPSHOT_BYTES_PER_APPLICATION: u64 = 1024;
/// Longest line of a snapshot: more than any entity has.
pub const SNAPSHOT_LINE_BYTES: u64 = 16 << 20;
/// How much of a snapshot is read or written at a time.
pub const SNAPSHOT_BUFFER: usize = 256 << 10;
/// Memory for cached pages of the admin log: it is read once, at start.
pub const ADMIN_CACHE_BYTES: usize = 4 << 20;
/// Memory for cached pages of each open issuance file.
pub const ISSUANCE_CACHE_BYTES: usize = 4 << 20;
/// Largest issuance record, in bytes: what 100 scopes, 16 resources, 16 KiB of authorization details
/// and some policies need.
pub const ISSUANCE_RECORD_BYTES: usize = 80 * 1024;
/// Most records in one frame of the issuance log.
pub const FRAME_RECORDS: usize = 4_096;
/// Most bytes of records in one frame.
pub const FRAME_BYTES: usize = 1 << 20;
/// Most records waiting for the issuance writer.
pub const QUEUED_RECORDS: usize = 65_536;
/// Most issuance files that one walk opens: each takes a millisecond, and there is one an hour.
pub const WALKED_FILES: usize = 64;
/// Most rows of authentication failures: some 60 MB. At the most that a minute can have, more than
/// half a day.
pub const FAILURE_ROWS: u64 = 200_000;
/// Most old rows of failures that one write forgets, so that none takes long.
pub const FAILURES_FORGOTTEN: u32 = 10_000;
/// Memory for cached pages of the log of failures.
pub const FAILURE_CACHE_BYTES: usize = 1 << 20;
/// Longest free text of a reason, in bytes.
pub const NOTE_BYTES: usize = 4 * 1024;
/// Largest blob, in bytes: a compiled policy is far smaller.
pub const BLOB_BYTES: u64 = 64 << 20;
