/* What changed between two periods, and whether the next policy is safe. Rules: report_view.h. */
#include "origin/report_view.h"

#include "base/map.h"
#include "origin/say.h"

#include <stdlib.h>

enum { POINTS = 5, TIMES = 3, MESSAGES = 20, BREAKING_MAX = 100 };

static int percent(const struct report_view_source *s) { return s->messages ? (int)(s->passed * 100 / s->messages) : 0; }
static unsigned long long ull(uint64_t n) { return n; }

/* The one thing that matters most about a network that is in both periods; false: nothing does. */
static bool compare(const struct report_view_source *b, const struct report_view_source *s, struct arena *a, struct report_view_change *out)
{
	int was = percent(b), is = percent(s);
	*out = (struct report_view_change){ .before = b, .after = s };
	if (b->group != s->group) {
		out->what = REPORT_VIEW_REGROUPED;
		out->text = origin_say(a, "%.*s was %s and is %s: %.*s", PSTR(s->network), report_view_group_name(b->group), report_view_group_name(s->group), PSTR(str_head(s->because, 200)));
	} else if (is + POINTS <= was || is >= was + POINTS) {
		out->what = is < was ? REPORT_VIEW_WORSE : REPORT_VIEW_BETTER;
		out->text = origin_say(a, "%.*s (%s): %d %% passed, now %d %%", PSTR(s->network), report_view_group_name(s->group), was, is);
	} else if (s->messages >= b->messages + MESSAGES && s->messages / TIMES >= b->messages) {
		out->what = REPORT_VIEW_MORE;
		out->text = origin_say(a, "%.*s (%s) sent %llu messages, before %llu", PSTR(s->network), report_view_group_name(s->group), ull(s->messages), ull(b->messages));
	} else if (b->messages >= s->messages + MESSAGES && b->messages / TIMES >= s->messages) {
		out->what = REPORT_VIEW_LESS;
		out->text = origin_say(a, "%.*s (%s) sent %llu messages, before %llu", PSTR(s->network), report_view_group_name(s->group), ull(s->messages), ull(b->messages));
	} else {
		return false;
	}
	return true;
}

/* What concerns the owner's mail first, then by messages. */
static int weight(const struct report_view_change *c)
{
	const struct report_view_source *s = c->after ? c->after : c->before;
	static const int of_group[] = { 0, 2, 1, 3 };
	return (c->what == REPORT_VIEW_WORSE ? 0 : 4) + of_group[s->group];
}
static uint64_t size_of(const struct report_view_change *c) { return (c->after ? c->after->messages : 0) + (c->before ? c->before->messages : 0); }
static int by_weight(const void *x, const void *y)
{
	const struct report_view_change *a = x, *b = y;
	if (weight(a) != weight(b))
		return weight(a) - weight(b);
	return size_of(a) < size_of(b) ? 1 : size_of(a) > size_of(b) ? -1 : str_cmp((a->after ? a->after : a->before)->network, (b->after ? b->after : b->before)->network);
}

static enum rc index_of(const struct report_view *v, struct map *out)
{
	map_init(out, REPORT_VIEW_SOURCES_MAX);
	for (size_t i = 0; i < v->sources; i++)
		TRY(map_put(out, v->source[i].network, &v->source[i]));
	return RC_OK;
}

enum rc report_view_changes(const struct report_view *before, const struct report_view *after, struct arena *a, struct report_view_change **out, size_t *out_n)
{
	AUTO(map_done) struct map was = { 0 };
	AUTO(map_done) struct map is = { 0 };
	struct report_view_change *list = arena_new(a, (before->sources + after->sources) * sizeof *list);
	size_t n = 0;
	if (!list)
		return RC_LIMIT;
	TRY(index_of(before, &was));
	TRY(index_of(after, &is));
	for (size_t i = 0; i < after->sources; i++) {
		const struct report_view_source *s = &after->source[i], *b = map_get(&was, s->network);
		if (b) {
			n += compare(b, s, a, &list[n]);
			continue;
		}
		list[n++] = (struct report_view_change){ REPORT_VIEW_NEW, NULL, s, origin_say(a, "%.*s is new (%s, %llu messages): %.*s", PSTR(s->network), report_view_group_name(s->group), ull(s->messages),
			PSTR(str_head(s->because, 200))) };
	}
	for (size_t i = 0; i < before->sources; i++) {
		const struct report_view_source *b = &before->source[i];
		if (!map_get(&is, b->network))
			list[n++] = (struct report_view_change){ REPORT_VIEW_GONE, b, NULL, origin_say(a, "%.*s (%s, %llu messages) has sent nothing", PSTR(b->network), report_view_group_name(b->group), ull(b->messages)) };
	}
	if (a->full)
		return RC_LIMIT;
	qsort(list, n, sizeof *list, by_weight);
	*out = list;
	*out_n = n;
	return RC_OK;
}

/* ---- the next step ---- */
static struct str step_after(struct str policy)
{
	return str_eq(policy, STR("reject")) ? STR("") : str_eq(policy, STR("quarantine")) ? STR("reject") : STR("quarantine");
}

static uint64_t failing(const struct report_view_source *s) { return s->messages - s->passed; }
static int by_failing(const void *x, const void *y)
{
	const struct report_view_source *a = *(const struct report_view_source *const *)x, *b = *(const struct report_view_source *const *)y;
	return failing(a) < failing(b) ? 1 : failing(a) > failing(b) ? -1 : str_cmp(a->network, b->network);
}

static enum rc find_breaking(const struct report_view *v, struct arena *a, struct report_view_step *out)
{
	const struct report_view_source **all = arena_new(a, v->sources * sizeof *all);
	size_t n = 0;
	if (!all)
		return RC_LIMIT;
	for (size_t i = 0; i < v->sources; i++) {
		const struct report_view_source *s = &v->source[i];
		if (s->group == REPORT_VIEW_THREAT)
			continue;
		out->may_be_yours += s->messages;
		out->would_break += failing(s);
		if (failing(s))
			all[n++] = s;
	}
	qsort(all, n, sizeof *all, by_failing);
	out->breaking = all;
	out->breakings = n < BREAKING_MAX ? n : BREAKING_MAX;
	return RC_OK;
}

enum rc report_view_next_step(const struct report_view *v, struct str policy, struct arena *a, struct report_view_step *out)
{
	*out = (struct report_view_step){ .now = policy.n ? policy : STR("none") };
	out->next = step_after(out->now);
	TRY(find_breaking(v, a, out));
	int64_t days = v->days ? (v->day[v->days - 1].day_s - v->day[0].day_s) / 86400 + 1 : 0;
	bool few = out->may_be_yours < REPORT_VIEW_MESSAGES_MIN, broken = out->would_break > out->may_be_yours * REPORT_VIEW_BROKEN_PPM / 1000000;
	if (out->next.n == 0)
		out->reason = origin_say(a, "reject is the last step; %llu of %llu messages that may be yours pass neither way", ull(out->would_break), ull(out->may_be_yours));
	else if (days < REPORT_VIEW_DAYS_MIN)
		out->reason = origin_say(a, "the reports cover %lld days; %d are needed to see everybody who sends for you", (long long)days, REPORT_VIEW_DAYS_MIN);
	else if (few)
		out->reason = origin_say(a, "%llu messages are too few to judge; %d are needed", ull(out->may_be_yours), REPORT_VIEW_MESSAGES_MIN);
	else if (broken)
		out->reason = origin_say(a, "%llu of %llu messages that are or may be yours would break, from %zu networks", ull(out->would_break), ull(out->may_be_yours), out->breakings);
	else
		out->reason = origin_say(a, "%llu of %llu messages that are or may be yours pass", ull(out->may_be_yours - out->would_break), ull(out->may_be_yours));
	out->safe = out->next.n && days >= REPORT_VIEW_DAYS_MIN && !few && !broken;
	return a->full ? RC_LIMIT : RC_OK;
}
