#include "policy/limits.h"

#include <stdatomic.h>
#include <string.h>

/* Invariants:
 *
 * L1  A held connection is one unit of the count in one word (tag, holder, count). Every change is one compare-and-swap of that word, so a
 *     process that dies at any instruction leaves the table sound, at worst with what it held, which limits_forget() gives back.
 * L2  A word is 0 exactly when it is free; the count of a word that is not free is at least 1.
 * L3  Who enters adds first and sums then: of two that enter at once the later one sees both, so `max` is never passed. Both may be refused.
 * L4  A rate entry that nobody touched for two of its windows is stale and may be taken over: its tag is marked as claimed, its time put off, its
 *     counter emptied, then the mark taken away. Each step is a compare-and-swap that whoever looks for the same key can do as well, so a claimer
 *     that stalls empties nothing twice and one that dies leaves nothing half done. All who look for a key use its first entry; whoever sees
 *     its whole tag sees a time that is put off, so they all pass over the same entries or none. What remains: processes whose clocks' turns differ may
 *     at the moment an entry becomes stale see it differently, and an event that is counted just then is lost or counts for the new key.
 * L5  No room = not counted. Nobody is refused for a stranger's sake.
 *
 * Keys are told apart by 52 bits (held) and 64 bits (rates) of a hash; the key itself is not kept. */

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "words shared between processes must be lock-free");

enum {
	HELD_BUCKETS = 4096, HELD_WAYS = 64,     /* a key takes one word per process that holds it: 2 MiB */
	RATE_BUCKETS = 8192, RATE_WAYS = 8,      /* 24 octets each: 1.5 MiB */
	COUNT_MAX = 0xffff,
	EVENTS_MAX = 0xfffff,                    /* 20 bits a window */
};

struct rate {
	_Atomic uint64_t tag;      /* 0 = free */
	_Atomic uint64_t word;     /* 24 bits window number, 20 bits events in it, 20 bits events in the one before */
	_Atomic int64_t expires;
};

struct limits {
	_Atomic uint64_t held[HELD_BUCKETS][HELD_WAYS];
	struct rate rates[RATE_BUCKETS][RATE_WAYS];
};

size_t limits_size(void) { return sizeof(struct limits); }

struct limit_key limit_key_of(char thing, const uint8_t network[16])
{
	struct limit_key k = { { (uint8_t)thing } };
	memcpy(k.bytes + 8, network, 16);
	return k;
}

static uint64_t mix(uint64_t h)
{
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdULL;
	h ^= h >> 33;
	h *= 0xc4ceb9fe1a85ec53ULL;
	return h ^ h >> 33;
}

static uint64_t hash(const struct limit_key *key, uint64_t salt)
{
	uint64_t h = mix(salt + 0x9e3779b97f4a7c15ULL);
	for (size_t i = 0; i < sizeof key->bytes; i += 8) {
		uint64_t w;
		memcpy(&w, key->bytes + i, 8);
		h = mix(h ^ w) + 0x9e3779b97f4a7c15ULL * (i + 1);
	}
	return mix(h);
}

/* ---- held: tag 40 bits, holder 8 bits, count 16 bits ---- */

static uint64_t tag_of(uint64_t word) { return word >> 24; }
static unsigned holder_of(uint64_t word) { return word >> 16 & 0xff; }
static uint32_t count_of(uint64_t word) { return word & COUNT_MAX; }

static _Atomic uint64_t *held_bucket(struct limits *l, uint64_t h) { return l->held[h % HELD_BUCKETS]; }
static uint64_t held_tag(uint64_t h) { return h >> 24; }

static uint64_t held_sum(_Atomic uint64_t *bucket, uint64_t tag)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < HELD_WAYS; i++) {
		uint64_t word = atomic_load(&bucket[i]);
		if (word && tag_of(word) == tag)
			sum += count_of(word);
	}
	return sum;
}

/* Adds one to the word of (tag, holder), or takes a free one. False: no room. */
static bool held_add(_Atomic uint64_t *bucket, uint64_t tag, unsigned holder)
{
	uint64_t mine = tag << 24 | (uint64_t)holder << 16;
	for (size_t i = 0; i < HELD_WAYS; i++) {
		uint64_t word = atomic_load(&bucket[i]);
		while (word && word >> 16 == mine >> 16 && count_of(word) < COUNT_MAX)
			if (atomic_compare_exchange_weak(&bucket[i], &word, word + 1))
				return true;
	}
	for (size_t i = 0; i < HELD_WAYS; i++) {
		uint64_t free_word = 0;
		if (atomic_compare_exchange_strong(&bucket[i], &free_word, mine | 1))
			return true;
	}
	return false;
}

static void held_drop(_Atomic uint64_t *bucket, uint64_t tag, unsigned holder)
{
	uint64_t mine = tag << 24 | (uint64_t)holder << 16;
	for (size_t i = 0; i < HELD_WAYS; i++) {
		uint64_t word = atomic_load(&bucket[i]);
		while (word && word >> 16 == mine >> 16)
			if (atomic_compare_exchange_weak(&bucket[i], &word, count_of(word) == 1 ? 0 : word - 1))
				return;
	}
}

bool limits_enter(struct limits *l, struct limit_key key, unsigned holder, uint32_t max)
{
	uint64_t h = hash(&key, 0);
	_Atomic uint64_t *bucket = held_bucket(l, h);
	if (holder > LIMIT_HOLDER_MAX)
		return true;
	if (held_sum(bucket, held_tag(h)) >= max)
		return false; /* without a write: the usual case under attack */
	if (!held_add(bucket, held_tag(h), holder))
		return true;
	if (held_sum(bucket, held_tag(h)) <= max)
		return true;
	held_drop(bucket, held_tag(h), holder);
	return false;
}

void limits_leave(struct limits *l, struct limit_key key, unsigned holder)
{
	uint64_t h = hash(&key, 0);
	if (holder <= LIMIT_HOLDER_MAX)
		held_drop(held_bucket(l, h), held_tag(h), holder);
}

uint32_t limits_held(struct limits *l, struct limit_key key)
{
	uint64_t h = hash(&key, 0), sum = held_sum(held_bucket(l, h), held_tag(h));
	return sum < UINT32_MAX ? (uint32_t)sum : UINT32_MAX;
}

void limits_forget(struct limits *l, unsigned holder)
{
	for (size_t b = 0; b < HELD_BUCKETS; b++)
		for (size_t i = 0; i < HELD_WAYS; i++) {
			uint64_t word = atomic_load(&l->held[b][i]);
			while (word && holder_of(word) == holder && !atomic_compare_exchange_weak(&l->held[b][i], &word, 0))
				;
		}
}

/* ---- rates ---- */

/* Tags are odd; one that is claimed and not yet emptied is even. */
static uint64_t claimed(uint64_t tag) { return tag & ~UINT64_C(1); }

static void rate_keep(struct rate *r, int64_t until)
{
	int64_t old = atomic_load(&r->expires);
	while (old < until && !atomic_compare_exchange_weak(&r->expires, &old, until))
		;
}

/* An entry claimed for `tag` is emptied and becomes its entry, whoever claimed it. */
static void rate_settle(struct rate *r, uint64_t tag)
{
	uint64_t word = atomic_load(&r->word), mark = claimed(tag);
	while (atomic_load(&r->tag) == mark && word && !atomic_compare_exchange_weak(&r->word, &word, 0))
		;
	(void)atomic_compare_exchange_strong(&r->tag, &mark, tag);
}

static struct rate *rate_known(struct rate *bucket, uint64_t tag, int64_t until)
{
	for (size_t i = 0; i < RATE_WAYS; i++) {
		if ((atomic_load(&bucket[i].tag) | 1) != tag)
			continue;
		rate_keep(&bucket[i], until);
		rate_settle(&bucket[i], tag);
		if (atomic_load(&bucket[i].tag) == tag) /* nobody took it for stale meanwhile */
			return &bucket[i];
	}
	return NULL;
}

/* Claims the first free or stale entry. False: there is none. True: look again, whoever got it. */
static bool rate_claim(struct rate *bucket, uint64_t tag, int64_t now_ms)
{
	for (size_t i = 0; i < RATE_WAYS; i++) {
		uint64_t old = atomic_load(&bucket[i].tag);
		if ((old | 1) == tag)
			return true;
		if (old && atomic_load(&bucket[i].expires) > now_ms)
			continue;
		(void)atomic_compare_exchange_strong(&bucket[i].tag, &old, claimed(tag));
		return true;
	}
	return false;
}

static struct rate *rate_find(struct limits *l, uint64_t tag, int64_t now_ms, int64_t until)
{
	struct rate *bucket = l->rates[tag / 2 % RATE_BUCKETS], *found = rate_known(bucket, tag, until);
	for (size_t i = 0; !found && i < 2 * RATE_WAYS && rate_claim(bucket, tag, now_ms); i++)
		found = rate_known(bucket, tag, until);
	return found;
}

static uint64_t rate_word(uint64_t window, uint64_t now, uint64_t before)
{
	return (window & 0xffffff) << 40 | now << 20 | before;
}

/* The counter brought to the window of `now`: what was current becomes the one before, what is older is gone. */
static uint64_t rate_turn(uint64_t word, uint64_t window)
{
	uint64_t at = word >> 40, events = word >> 20 & EVENTS_MAX;
	if (at == (window & 0xffffff))
		return word;
	return rate_word(window, 0, at == ((window - 1) & 0xffffff) ? events : 0);
}

bool limits_rate(struct limits *l, struct limit_key key, int64_t now_ms, uint32_t window_ms, uint32_t max)
{
	if (!window_ms || now_ms < 0)
		return true;
	uint64_t tag = hash(&key, window_ms) | 1, window = (uint64_t)now_ms / window_ms, into = (uint64_t)now_ms % window_ms;
	int64_t until = now_ms <= INT64_MAX - 2 * (int64_t)window_ms ? now_ms + 2 * (int64_t)window_ms : INT64_MAX;
	struct rate *r = rate_find(l, tag, now_ms, until);
	if (!r)
		return true;
	uint64_t word = atomic_load(&r->word), next;
	do {
		uint64_t turned = rate_turn(word, window);
		uint64_t events = turned >> 20 & EVENTS_MAX, before = turned & EVENTS_MAX;
		/* Of the window before, the part that a window ending now still covers. */
		uint64_t estimate = events + before * (window_ms - into) / window_ms;
		if (estimate >= max || events == EVENTS_MAX)
			return false;
		next = rate_word(window, events + 1, before);
	} while (!atomic_compare_exchange_weak(&r->word, &word, next));
	return true;
}
