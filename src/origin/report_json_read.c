/* TLS reports of strangers (RFC 8460 4.4). jansson descends by recursion and spends some 40 octets on a value, so nesting and values are
 * counted before it sees a byte. */
#include "origin/report_internal.h"

#include <jansson.h>

enum { DEPTH_MAX = 16, POLICIES_MAX = 1000, FAILURES_MAX = 20000, STRINGS_MAX = 200, VALUES_MAX = 300000 };

struct json_reader {
	struct arena *arena;
	struct why *why;
};

static bool too_much(struct str s)
{
	unsigned depth = 0, values = 0;
	bool quoted = false;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (quoted) {
			i += c == '\\';
			quoted = c != '"';
			continue;
		}
		quoted = c == '"';
		if (c == ',' && ++values > VALUES_MAX)
			return true;
		if ((c == '{' || c == '[') && ++depth > DEPTH_MAX)
			return true;
		depth -= (c == '}' || c == ']') && depth > 0;
	}
	return false;
}

static enum rc keep(struct json_reader *r, struct str s, struct str *out)
{
	if (s.n > REPORT_TEXT_MAX)
		FAIL(r->why, RC_LIMIT, "a value of the report is too long");
	*out = arena_str(r->arena, s);
	if (out->n != s.n)
		FAIL(r->why, RC_LIMIT, "the report is larger than what may be kept of it");
	return RC_OK;
}

/* A member's text; what is no text is passed over. */
static enum rc text(struct json_reader *r, const json_t *o, const char *name, struct str *out)
{
	const json_t *v = json_object_get(o, name);
	*out = STR("");
	return json_is_string(v) ? keep(r, str_of(json_string_value(v), json_string_length(v)), out) : RC_OK;
}

static enum rc number(struct json_reader *r, const json_t *o, const char *name, uint64_t *out)
{
	const json_t *v = json_object_get(o, name);
	*out = 0;
	if (!v || json_is_null(v))
		return RC_OK;
	if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > REPORT_NUMBER_MAX)
		FAIL(r->why, RC_SYNTAX, "%s is no number that can be true", name);
	*out = (uint64_t)json_integer_value(v);
	return RC_OK;
}

static enum rc take_failure(struct json_reader *r, const json_t *o, struct report_tls_failure *out)
{
	struct { const char *name; struct str *to; } members[] = {
		{ "result-type", &out->type }, { "sending-mta-ip", &out->sending_ip }, { "receiving-mx-hostname", &out->receiving_mx },
		{ "receiving-ip", &out->receiving_ip }, { "receiving-mx-helo", &out->helo }, { "additional-information", &out->info },
		{ "failure-reason-code", &out->reason },
	};
	for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
		TRY(text(r, o, members[i].name, members[i].to));
	return number(r, o, "failed-session-count", &out->count);
}

static enum rc take_strings(struct json_reader *r, const json_t *list, struct report_tls_policy *out)
{
	size_t n = json_array_size(list);
	if (n > STRINGS_MAX)
		FAIL(r->why, RC_LIMIT, "a policy of %zu lines", n);
	out->policy_string = arena_new(r->arena, n * sizeof *out->policy_string);
	if (!out->policy_string)
		FAIL(r->why, RC_LIMIT, "the report is larger than what may be kept of it");
	for (size_t i = 0; i < n; i++) {
		const json_t *v = json_array_get(list, i);
		if (json_is_string(v))
			TRY(keep(r, str_of(json_string_value(v), json_string_length(v)), &out->policy_string[out->policy_strings++]));
	}
	return RC_OK;
}

/* "mx-host" is text in the RFC's grammar and a list in its example. */
static enum rc take_mx(struct json_reader *r, const json_t *policy, struct report_tls_policy *out)
{
	const json_t *v = json_object_get(policy, "mx-host"), *first = json_array_get(v, 0);
	TRY(text(r, policy, "mx-host", &out->mx));
	if (json_is_string(first))
		TRY(keep(r, str_of(json_string_value(first), json_string_length(first)), &out->mx));
	return RC_OK;
}

static enum rc take_policy(struct json_reader *r, const json_t *o, struct report_tls_policy *out, size_t *failures)
{
	const json_t *policy = json_object_get(o, "policy"), *sum = json_object_get(o, "summary"), *list = json_object_get(o, "failure-details");
	TRY(text(r, policy, "policy-type", &out->type));
	TRY(text(r, policy, "policy-domain", &out->domain));
	TRY(take_mx(r, policy, out));
	TRY(take_strings(r, json_object_get(policy, "policy-string"), out));
	TRY(number(r, sum, "total-successful-session-count", &out->success));
	TRY(number(r, sum, "total-failure-session-count", &out->failure));
	size_t n = json_array_size(list);
	*failures += n;
	if (*failures > FAILURES_MAX)
		FAIL(r->why, RC_LIMIT, "more than %d failures", FAILURES_MAX);
	out->failures = arena_new(r->arena, n * sizeof *out->failures);
	if (!out->failures)
		FAIL(r->why, RC_LIMIT, "the report is larger than what may be kept of it");
	out->n_failures = n;
	for (size_t i = 0; i < n; i++)
		TRY(take_failure(r, json_array_get(list, i), &out->failures[i]));
	return RC_OK;
}

static enum rc take_report(struct json_reader *r, const json_t *root, struct report_tls *out)
{
	const json_t *range = json_object_get(root, "date-range"), *list = json_object_get(root, "policies");
	struct str begin, end;
	size_t n = json_array_size(list), failures = 0;
	if (!json_is_array(list) || !json_is_object(range))
		FAIL(r->why, RC_NOTFOUND, "JSON, but no TLS report");
	TRY(text(r, root, "organization-name", &out->org));
	TRY(text(r, root, "contact-info", &out->contact));
	TRY(text(r, root, "report-id", &out->id));
	TRY(text(r, range, "start-datetime", &begin));
	TRY(text(r, range, "end-datetime", &end));
	if (report_time_parse(begin, &out->begin_s) != RC_OK || report_time_parse(end, &out->end_s) != RC_OK || !report_period_ok(out->begin_s, out->end_s))
		FAIL(r->why, RC_SYNTAX, "the report's period cannot be true");
	if (n > POLICIES_MAX)
		FAIL(r->why, RC_LIMIT, "%zu policies", n);
	out->policy = arena_new(r->arena, n * sizeof *out->policy);
	if (!out->policy)
		FAIL(r->why, RC_LIMIT, "the report is larger than what may be kept of it");
	out->policies = n;
	for (size_t i = 0; i < n; i++)
		TRY(take_policy(r, json_array_get(list, i), &out->policy[i], &failures));
	return RC_OK;
}

enum rc report_read_json(struct str json, struct arena *a, struct report_tls *out, struct why *why)
{
	struct json_reader r = { a, why };
	json_error_t error;
	*out = (struct report_tls){ .org = STR(""), .contact = STR(""), .id = STR("") };
	if (json.n >= 3 && memcmp(json.p, "\xef\xbb\xbf", 3) == 0)
		json = str_skip(json, 3);
	if (json.n > REPORT_JSON_MAX || too_much(json))
		FAIL(why, RC_LIMIT, "the JSON document is %s", json.n > REPORT_JSON_MAX ? "larger than 8 MiB" : "nested too deeply, or has too many values");
	json_t *root = json_loadb(json.p, json.n, JSON_DISABLE_EOF_CHECK, &error);
	if (!root)
		FAIL(why, RC_SYNTAX, "line %d: %.120s", error.line, error.text);
	enum rc rc = take_report(&r, root, out);
	json_decref(root);
	return rc;
}
