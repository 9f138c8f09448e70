#pragma once
#include "base/late.h"
#include <sqlite3.h>

/* SQLite, loaded by the processes that have a database to read: before anything of it is called, and before the sandbox (base/late.h). Its functions keep
 * their names. */
#define SQLITE_SYMBOLS(X) \
	X(sqlite3_backup_finish) X(sqlite3_backup_init) X(sqlite3_backup_step) X(sqlite3_bind_blob64) X(sqlite3_bind_int64) X(sqlite3_bind_text64) \
	X(sqlite3_busy_timeout) X(sqlite3_changes) X(sqlite3_clear_bindings) X(sqlite3_close) X(sqlite3_column_blob) X(sqlite3_column_bytes) \
	X(sqlite3_column_int64) X(sqlite3_column_text) X(sqlite3_errcode) X(sqlite3_errmsg) X(sqlite3_errstr) X(sqlite3_exec) \
	X(sqlite3_extended_result_codes) X(sqlite3_finalize) X(sqlite3_get_autocommit) X(sqlite3_last_insert_rowid) X(sqlite3_open_v2) \
	X(sqlite3_prepare_v2) X(sqlite3_prepare_v3) X(sqlite3_reset) X(sqlite3_step)
extern struct sqlite { SQLITE_SYMBOLS(LATE_SLOT) } sqlite;
MUST_USE enum rc sqlite_load(struct why *why);

#ifndef SQLITE_TABLE_ITSELF
#define sqlite3_backup_finish sqlite.sqlite3_backup_finish
#define sqlite3_backup_init sqlite.sqlite3_backup_init
#define sqlite3_backup_step sqlite.sqlite3_backup_step
#define sqlite3_bind_blob64 sqlite.sqlite3_bind_blob64
#define sqlite3_bind_int64 sqlite.sqlite3_bind_int64
#define sqlite3_bind_text64 sqlite.sqlite3_bind_text64
#define sqlite3_busy_timeout sqlite.sqlite3_busy_timeout
#define sqlite3_changes sqlite.sqlite3_changes
#define sqlite3_clear_bindings sqlite.sqlite3_clear_bindings
#define sqlite3_close sqlite.sqlite3_close
#define sqlite3_column_blob sqlite.sqlite3_column_blob
#define sqlite3_column_bytes sqlite.sqlite3_column_bytes
#define sqlite3_column_int64 sqlite.sqlite3_column_int64
#define sqlite3_column_text sqlite.sqlite3_column_text
#define sqlite3_errcode sqlite.sqlite3_errcode
#define sqlite3_errmsg sqlite.sqlite3_errmsg
#define sqlite3_errstr sqlite.sqlite3_errstr
#define sqlite3_exec sqlite.sqlite3_exec
#define sqlite3_extended_result_codes sqlite.sqlite3_extended_result_codes
#define sqlite3_finalize sqlite.sqlite3_finalize
#define sqlite3_get_autocommit sqlite.sqlite3_get_autocommit
#define sqlite3_last_insert_rowid sqlite.sqlite3_last_insert_rowid
#define sqlite3_open_v2 sqlite.sqlite3_open_v2
#define sqlite3_prepare_v2 sqlite.sqlite3_prepare_v2
#define sqlite3_prepare_v3 sqlite.sqlite3_prepare_v3
#define sqlite3_reset sqlite.sqlite3_reset
#define sqlite3_step sqlite.sqlite3_step
#endif
