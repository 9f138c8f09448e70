#define SQLITE_TABLE_ITSELF
#include "ledger/sqlite.h"

struct sqlite sqlite;
static struct late_library library = LATE_LIBRARY("libsqlite3.so.0", "libsqlite3-0", SQLITE_SYMBOLS);

enum rc sqlite_load(struct why *why) { return late_load(&library, &sqlite, why); }
