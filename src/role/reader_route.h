#pragma once
#include "ipc/ipc.h"
#include "store/view.h"

/* The role `reader`: where addresses lead, groups, rules, ways. */
struct view *role_view_of(void *env);

ipc_handler reader_on_route, reader_on_may_send, reader_on_rules, reader_on_addresses, reader_on_groups, reader_on_group_get, reader_on_ways;
