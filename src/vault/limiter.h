#pragma once
#include "base/map.h"
#include <stdint.h>

/* Failed logins per client network. What counts is the number of different (account, password) pairs that failed within the window: a
 * device with an old password that asks every minute is one pair, a guesser is many. Per network only, so a stranger cannot lock a
 * user out. Bounded: past `networks_max` the network heard of longest ago is forgotten. */
struct limiter_options { unsigned pairs, window_ms, networks_max; };
struct limiter { struct limiter_options o; struct map map; struct network *oldest, *newest; size_t n; };
void limiter_init(struct limiter *l, const struct limiter_options *o);
void limiter_done(struct limiter *l);
/* Before an attempt: 0 = go on, > 0 = for how many ms this network must wait, LIMITER_UNDECIDED = ask again when one of its attempts is
 * over. An attempt under way takes a failure's place until limiter_passed() or limiter_failed(), so that a hundred at once are not a
 * hundred guesses for the price of none; and an office that logs in all at once waits a moment instead of being refused. */
enum { LIMITER_UNDECIDED = -1 };
int64_t limiter_try(struct limiter *l, int64_t now, const uint8_t network[16], uint64_t pair);
void limiter_failed(struct limiter *l, const uint8_t network[16], uint64_t pair);
void limiter_passed(struct limiter *l, const uint8_t network[16], uint64_t pair);
