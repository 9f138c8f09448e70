#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "play.h"

#include "base/mem.h"
#include <stdio.h>

#define GREETING "S: * OK [CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID AUTH=PLAIN] mail.corp.example ready\n"
#define LOGIN GREETING "C: a login alice@corp.example secret\nS: a OK [CAPABILITY ...\n"
#define THREE "E: more\nE: deliver INBOX 3\nE: given INBOX\n"
#define THREE_NEW "E: more\nE: deliver INBOX 3\n"
#define SELECTED_3 "C: s select inbox\nS: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\n" \
	"S: * OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] what can be kept\n" \
	"S: * 3 EXISTS\nS: * 0 RECENT\nS: * OK [UNSEEN 1] the first unseen\nS: * OK [UIDVALIDITY 1001] these UIDs hold\n" \
	"S: * OK [UIDNEXT 4] the next\nS: s OK [READ-WRITE] selected\n"
#define OPEN LOGIN THREE SELECTED_3
#define SELECT_NEW(recent, tag) "C: " tag " select INBOX\nS: * FLAGS ...\nS: * OK ...\nS: * ...\nS: * " #recent " RECENT\nS: * OK ...\nS: * OK ...\nS: * OK ...\nS: " tag " OK [READ-WRITE] selected\n"
#define BYE "C: z logout\nS: * BYE see you\nS: z OK logged out\n"

/* Each row: one behaviour, named as a sentence. */
static const struct { const char *name, *script; } plays[] = {
	{ "it greets and says goodbye", GREETING BYE },
	{ "it names its capabilities", GREETING "C: a capability\nS: * CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID AUTH=PLAIN\nS: a OK that is all\n" BYE },
	{ "capabilities grow with the login",
	  GREETING "C: a LOGIN alice@corp.example secret\n"
	           "S: a OK [CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID ENABLE IDLE NAMESPACE UIDPLUS UNSELECT MOVE CHILDREN SPECIAL-USE CREATE-SPECIAL-USE APPENDLIMIT=100000] logged in\n" BYE },
	{ "login takes quoted strings and literals",
	  GREETING "C: a login \"alice@corp.example\" {6}\nS: + go on\nC: secret\nS: a OK ...\n" BYE },
	{ "login takes non-synchronising literals", GREETING "C: a login {18+}\nC: alice@corp.example {6+}\nC: secret\nS: a OK ...\n" BYE },
	{ "a wrong password is told without saying what was wrong",
	  GREETING "C: a login alice@corp.example wrong\nS: a NO [AUTHENTICATIONFAILED] wrong user name or password\n" BYE },
	{ "five failed logins end the connection",
	  GREETING "C: a login a b\nS: a NO ...\nC: b login a b\nS: b NO ...\nC: c login a b\nS: c NO ...\nC: d login a b\nS: d NO ...\n"
	           "C: e login a b\nS: e NO ...\nS: * BYE too many failed logins\nC: f noop\n" },
	{ "authenticate plain works with an initial response", GREETING "C: a authenticate plain AGFsaWNlQGNvcnAuZXhhbXBsZQBzZWNyZXQ=\nS: a OK ...\n" BYE },
	{ "authenticate plain works with a continuation", GREETING "C: a authenticate plain\nS: + \nC: AGFsaWNlQGNvcnAuZXhhbXBsZQBzZWNyZXQ=\nS: a OK ...\n" BYE },
	{ "authenticate can be cancelled", GREETING "C: a authenticate plain\nS: + \nC: *\nS: a BAD cancelled\n" BYE },
	{ "authenticate refuses what is no base64", GREETING "C: a authenticate plain ?!\nS: a BAD not base64\n" BYE },
	{ "authenticate knows an empty initial response", GREETING "C: a authenticate plain =\nS: a BAD not a PLAIN message (RFC 4616)\n" BYE },
	{ "authenticate lets nobody act for another", GREETING "C: a authenticate plain Ym9iAGFsaWNlQGNvcnAuZXhhbXBsZQBzZWNyZXQ=\nS: a NO [AUTHORIZATIONFAILED] you may only log in as yourself\n" BYE },
	{ "other mechanisms are refused", GREETING "C: a authenticate cram-md5\nS: a NO [CANNOT] only PLAIN is offered\n" BYE },
	{ "before login only a few verbs work", GREETING "C: a select inbox\nS: a BAD log in first\nC: b list \"\" *\nS: b BAD log in first\n" BYE },
	{ "literals before login are for credentials only", GREETING "C: a select {5}\nS: a BAD no literals before login\nC: b noop\nS: b OK done\n" BYE },
	{ "literals before login are small", GREETING "C: a login {4294967295}\nS: a BAD literals before login may have 1024 octets\nC: b noop\nS: b OK done\n" BYE },
	{ "a large literal that does not wait ends the connection", GREETING "C: a login {4294967295+}\nS: a BAD literals before login may have 1024 octets\nS: * BYE [TOOBIG] literal larger than we take\nC: b noop\n" },
	{ "a command needs a tag", GREETING "C: \nS: * BAD expected a tag and a command\nC: + noop\nS: * BAD expected a tag and a command\nC: a\nS: a BAD no such command\nC: b frobnicate\nS: b BAD no such command\n" BYE },
	{ "too many errors end the connection",
	  GREETING "C: a x\nC: a x\nC: a x\nC: a x\nC: a x\nC: a x\nC: a x\nC: a x\nC: a x\nC: a x\nC: a x\nC: a noop\n"
	           "S: a BAD no such command\nS: a BAD no such command\nS: a BAD no such command\nS: a BAD no such command\nS: a BAD no such command\n"
	           "S: a BAD no such command\nS: a BAD no such command\nS: a BAD no such command\nS: a BAD no such command\nS: a BAD no such command\n"
	           "S: a BAD no such command\nS: * BYE too many errors\n" },
	{ "id is answered", GREETING "C: a id (\"name\" \"x\" \"version\" NIL)\nS: * ID (\"name\" \"Letterlock\")\nS: a OK ...\nC: b id nil\nS: * ID ...\nS: b OK ...\nC: c id foo\nS: c BAD expected \"(\"\n" BYE },
	{ "enable enables nothing yet", LOGIN "C: b enable condstore\nS: * ENABLED\nS: b OK done\n" BYE },
	{ "namespace is one", LOGIN "C: b namespace\nS: * NAMESPACE ((\"\" \"/\")) NIL NIL\nS: b OK done\n" BYE },
	{ "starttls without TLS is refused", GREETING "C: a starttls\nS: a NO [UNAVAILABLE] no TLS here\n" BYE },

	{ "list shows all folders with what they are for",
	  LOGIN "C: b list \"\" *\nS: * LIST (\\HasChildren \\Archive) \"/\" \"Archive\"\nS: * LIST (\\HasNoChildren) \"/\" \"Archive/2025\"\n"
	        "S: * LIST (\\HasNoChildren \\Drafts) \"/\" \"Drafts\"\nS: * LIST (\\HasNoChildren) \"/\" \"INBOX\"\nS: * LIST (\\HasNoChildren \\Sent) \"/\" \"Sent\"\nS: b OK done\n" BYE },
	{ "list with percent stops at the delimiter",
	  LOGIN "C: b list \"\" %\nS: * LIST (\\HasChildren \\Archive) \"/\" \"Archive\"\nS: * LIST (\\HasNoChildren \\Drafts) \"/\" \"Drafts\"\n"
	        "S: * LIST (\\HasNoChildren) \"/\" \"INBOX\"\nS: * LIST (\\HasNoChildren \\Sent) \"/\" \"Sent\"\nS: b OK done\n"
	        "C: c list Archive/ %\nS: * LIST (\\HasNoChildren) \"/\" \"Archive/2025\"\nS: c OK done\n" BYE },
	{ "list with an empty pattern tells the delimiter", LOGIN "C: b list \"\" \"\"\nS: * LIST (\\Noselect) \"/\" \"\"\nS: b OK done\n" BYE },
	{ "list can choose special use", LOGIN "C: b list (special-use) \"\" * return (subscribed)\nS: * LIST (\\HasChildren \\Subscribed \\Archive) \"/\" \"Archive\"\n"
	        "S: * LIST (\\HasNoChildren \\Subscribed \\Drafts) \"/\" \"Drafts\"\nS: * LIST (\\HasNoChildren \\Subscribed \\Sent) \"/\" \"Sent\"\nS: b OK done\n" BYE },
	{ "lsub shows parents that are not subscribed",
	  LOGIN "C: b unsubscribe archive\nS: b NO [NONEXISTENT] no such mailbox\nC: c unsubscribe Archive\nS: c OK done\nC: d subscribe Archive/2025\nS: d OK done\n"
	        "C: e lsub \"\" %\nS: * LSUB (\\HasChildren \\Noselect) \"/\" \"Archive\"\nS: * LSUB (\\HasNoChildren \\Drafts) \"/\" \"Drafts\"\n"
	        "S: * LSUB (\\HasNoChildren) \"/\" \"INBOX\"\nS: * LSUB (\\HasNoChildren \\Sent) \"/\" \"Sent\"\nS: e OK done\n" BYE },
	{ "a subscription outlives its mailbox",
	  LOGIN "C: b create x/a\nS: b OK made\nC: c subscribe x/a\nS: c OK done\nC: d delete x/a\nS: d OK deleted\nC: e delete x\nS: e OK deleted\nC: f lsub \"\" x*\n"
	        "S: * LSUB (\\HasNoChildren \\Noselect) \"/\" \"x/a\"\nS: f OK done\nC: g list \"\" x*\nS: g OK done\nC: h list (subscribed) \"\" x*\n"
	        "S: * LIST (\\HasNoChildren \\NonExistent \\Subscribed) \"/\" \"x/a\"\nS: h OK done\nC: i select x/a\nS: i NO [NONEXISTENT] no such mailbox\n"
	        "C: j status x/a (messages)\nS: j NO [NONEXISTENT] no such mailbox\nC: k delete x/a\nS: k NO [NONEXISTENT] no such mailbox\n"
	        "C: l rename x/a y\nS: l NO [NONEXISTENT] no such mailbox\nC: m create x/a\nS: m OK made\nC: n lsub \"\" x*\n"
	        "S: * LSUB (\\HasNoChildren) \"/\" \"x/a\"\nS: n OK done\nC: o delete x/a\nS: o OK deleted\nC: p unsubscribe x/a\nS: p OK done\n"
	        "C: q lsub \"\" x*\nS: q OK done\nC: r unsubscribe x/a\nS: r NO [NONEXISTENT] no such mailbox\n" BYE },
	{ "a subscription stays with its name when the mailbox is renamed",
	  LOGIN "C: b rename Sent Gone\nS: b OK renamed\nC: c lsub \"\" Sent\nS: * LSUB (\\HasNoChildren \\Noselect) \"/\" \"Sent\"\nS: c OK done\n"
	        "C: d lsub \"\" Gone\nS: d OK done\n" BYE },
	{ "lsub tells a parent that is not there once",
	  LOGIN "C: b subscribe x/a\nS: b OK done\nC: c subscribe x/b/c\nS: c OK done\nC: d subscribe x-y\nS: d OK done\nC: e subscribe z//\nS: e NO [CANNOT] ...\n"
	        "C: f subscribe y*\nS: f BAD ...\nC: g lsub \"\" x%\nS: * LSUB (\\HasNoChildren \\Noselect) \"/\" \"x-y\"\n"
	        "S: * LSUB (\\HasChildren \\Noselect) \"/\" \"x\"\nS: g OK done\n" BYE },
	{ "names travel in modified UTF-7",
	  LOGIN "C: b create Entw&APw-rfe\nS: b OK made\nC: c list \"\" Entw*\nS: * LIST (\\HasNoChildren) \"/\" \"Entw&APw-rfe\"\nS: c OK done\n"
	        "C: d create Entw&APw\nS: d BAD expected a mailbox name in modified UTF-7 of at most 1000 octets\nC: e status Entw&APw-rfe (messages)\nS: * STATUS \"Entw&APw-rfe\" (MESSAGES 0)\nS: e OK done\n" BYE },
	{ "create makes parents and refuses what cannot be",
	  LOGIN "C: b create a/b/c/\nS: b OK made\nC: c create a/b\nS: c NO [ALREADYEXISTS] it exists\nC: d create inbox\nS: d NO [ALREADYEXISTS] INBOX is always there\n"
	        "C: e create a//b\nS: e NO [CANNOT] a mailbox name has no wildcard or control character, and levels of 1 to 255 octets but \".\" and \"..\"\nC: f create \"x%\"\nS: f NO [CANNOT] ...\n" BYE },
	{ "no level is a dot or two: clients with directories stop at them",
	  LOGIN "C: b create a/../b\nS: b NO [CANNOT] ...\nC: c create ..\nS: c NO [CANNOT] ...\nC: d create ./x\nS: d NO [CANNOT] ...\nC: e rename Sent ../Sent\nS: e NO [CANNOT] ...\n"
	        "C: f create .../.x\nS: f OK made\n" BYE },
	{ "create can say what a folder is for",
	  LOGIN "C: b create Bin (use (\\Trash))\nS: b OK made\nC: c list (special-use) \"\" Bin\nS: * LIST (\\HasNoChildren \\Trash) \"/\" \"Bin\"\nS: c OK done\n"
	        "C: d create X (use (\\Nonsense))\nS: d NO [USEATTR] no such special use\n" BYE },
	{ "delete", LOGIN "C: b delete Archive\nS: b NO [NOPERM] it has children\nC: c delete Archive/2025\nS: c OK deleted\nC: d delete Nope\nS: d NO [NONEXISTENT] no such mailbox\nC: e delete inbox\nS: e NO [CANNOT] INBOX stays\n" BYE },
	{ "deleting the selected mailbox closes it", LOGIN "C: b examine Archive/2025\nS: * FLAGS ...\nS: * OK [PERMANENTFLAGS ()] what can be kept\nS: * 0 EXISTS\nS: * 0 RECENT\n"
	        "S: * OK [UIDVALIDITY 1005] these UIDs hold\nS: * OK [UIDNEXT 1] the next\nS: b OK [READ-ONLY] selected\nC: c delete Archive/2025\nS: c OK deleted\nC: d check\nS: d BAD select a mailbox first\n" BYE },
	{ "rename takes children along", LOGIN "C: b rename Archive Old\nS: b OK renamed\nC: c list \"\" Old*\nS: * LIST (\\HasChildren \\Archive) \"/\" \"Old\"\n"
	        "S: * LIST (\\HasNoChildren) \"/\" \"Old/2025\"\nS: c OK done\nC: d rename Old Sent\nS: d NO [ALREADYEXISTS] the new name exists\nC: e rename Nope x\nS: e NO [NONEXISTENT] no such mailbox\n"
	        "C: f rename Old Old/x\nS: f NO [CANNOT] a mailbox cannot move below itself\n" BYE },
	{ "status counts", LOGIN THREE "C: b status INBOX (messages recent uidnext uidvalidity unseen)\nS: * STATUS \"INBOX\" (MESSAGES 3 RECENT 0 UIDNEXT 4 UIDVALIDITY 1001 UNSEEN 3)\nS: b OK done\n"
	        "C: c status nope (messages)\nS: c NO [NONEXISTENT] no such mailbox\nC: d status INBOX (size)\nS: d BAD expected MESSAGES, ...\n" BYE },

	{ "select tells what there is", OPEN BYE },
	{ "a failed select leaves nothing selected", OPEN "C: b select nope\nS: b NO [NONEXISTENT] no such mailbox\nC: c check\nS: c BAD select a mailbox first\n" BYE },
	{ "fetch flags and sizes", OPEN "C: b fetch 1:* (flags rfc822.size)\nS: * 1 FETCH (FLAGS () RFC822.SIZE 169)\nS: * 2 FETCH (FLAGS () RFC822.SIZE 399)\nS: * 3 FETCH (FLAGS () RFC822.SIZE 135)\nS: b OK fetched\n" BYE },
	{ "uid fetch always tells the UID", OPEN "C: b uid fetch 2,* flags\nS: * 2 FETCH (UID 2 FLAGS ())\nS: * 3 FETCH (UID 3 FLAGS ())\nS: b OK fetched\nC: c uid fetch 9:* (uid)\nS: * 3 FETCH (UID 3)\nS: c OK fetched\n" BYE },
	{ "a number past the end is an error, a UID is not", OPEN "C: b fetch 4 flags\nS: b BAD no message has such a number\nC: c uid fetch 4 flags\nS: c OK fetched\nC: d fetch 0 flags\nS: d BAD expected message numbers from 1 on\n" BYE },
	{ "internaldate is told in its fixed form", OPEN "C: b fetch 1 internaldate\nS: * 1 FETCH (INTERNALDATE \" 1-Feb-1994 07:06:40 +0000\")\nS: b OK fetched\n" BYE },
	{ "envelope is told", OPEN "C: b fetch 1 envelope\nS: * 1 FETCH (ENVELOPE (\"Mon, 7 Feb 1994 21:52:25 -0800\" \"first\" ((\"Bob\" NIL \"bob\" \"corp.example\")) ((\"Bob\" NIL \"bob\" \"corp.example\")) ((\"Bob\" NIL \"bob\" \"corp.example\")) ((\"Alice\" NIL \"alice\" \"corp.example\")) NIL NIL NIL \"<1@corp.example>\"))\nS: b OK fetched\n" BYE },
	{ "fetching a body marks it as seen", OPEN "C: b fetch 3 body[text]\nS: * 3 FETCH (BODY[TEXT] {7}\nS: zebra\nS:  FLAGS (\\Seen))\nS: b OK fetched\nC: c fetch 3 flags\nS: * 3 FETCH (FLAGS (\\Seen))\nS: c OK fetched\n" BYE },
	{ "peeking does not", OPEN "C: b fetch 3 body.peek[text]<1.3>\nS: * 3 FETCH (BODY[TEXT]<1> {3}\nS: ebr)\nS: b OK fetched\nC: c fetch 3 flags\nS: * 3 FETCH (FLAGS ())\nS: c OK fetched\n" BYE },
	{ "examine marks nothing", LOGIN THREE "C: s examine INBOX\nS: * FLAGS ...\nS: * OK [PERMANENTFLAGS ()] what can be kept\nS: * 3 EXISTS\nS: * 0 RECENT\nS: * OK [UNSEEN 1] ...\nS: * OK [UIDV...\nS: * OK [UIDN...\nS: s OK [READ-ONLY] selected\n"
	        "C: b fetch 3 rfc822.text\nS: * 3 FETCH (RFC822.TEXT {7}\nS: zebra\nS: )\nS: b OK fetched\nC: c store 1 +flags (\\Seen)\nS: c NO [NOPERM] the mailbox is open read-only\nC: d expunge\nS: d NO [NOPERM] ...\n" BYE },
	{ "header fields can be chosen", OPEN "C: b fetch 1 body.peek[header.fields (subject \"date\" nope)]\nS: * 1 FETCH (BODY[HEADER.FIELDS (subject date nope)] {56}\nS: Subject: first\nS: Date: Mon, 7 Feb 1994 21:52:25 -0800\nS: \nS: )\nS: b OK fetched\n" BYE },
	{ "header fields can be left out", OPEN "C: b fetch 1 body.peek[header.fields.not (from to date message-id)]\nS: * 1 FETCH (BODY[HEADER.FIELDS.NOT (from to date message-id)] {18}\nS: Subject: first\nS: \nS: )\nS: b OK fetched\n" BYE },
	{ "parts can be fetched", OPEN "C: b fetch 2 (body.peek[1] body.peek[1.mime] body.peek[2.header] body.peek[2.text] body.peek[2.1] body.peek[9])\n"
	        "S: * 2 FETCH (BODY[1] {14}\nS: The inner text BODY[1.MIME] {28}\nS: Content-Type: text/plain\nS: \nS:  BODY[2.HEADER] {43}\nS: From: dave@corp.example\nS: Subject: inner\nS: \nS:  BODY[2.TEXT] {10}\nS: inner body BODY[2.1] {10}\nS: inner body BODY[9] NIL)\nS: b OK fetched\n" BYE },
	{ "macros stand for their items", OPEN "C: b fetch 1 fast\nS: * 1 FETCH (FLAGS () INTERNALDATE \" 1-Feb-1994 07:06:40 +0000\" RFC822.SIZE 169)\nS: b OK fetched\nC: c fetch 1 (fast)\nS: c BAD expected an item that can be fetched\n" BYE },
	{ "bodystructure and body are told", OPEN "C: b fetch 1 (body bodystructure)\nS: * 1 FETCH (BODY (\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 21 1) BODYSTRUCTURE ...\nS: b OK fetched\n" BYE },
	{ "damaged messages are counted, the others served",
	  LOGIN THREE "E: damage INBOX 2\n" SELECTED_3 "C: b fetch 1:3 rfc822.text\nS: * 1 FETCH (RFC822.TEXT {21}\nS: Hello, this is one.\nS:  FLAGS (\\Seen))\nS: * 3 FETCH (RFC822.TEXT {7}\nS: zebra\nS:  FLAGS (\\Seen))\n"
	        "S: b NO [CORRUPTION] 1 messages could not be read in full, the others were\n" BYE },

	{ "store tells the new flags", OPEN "C: b store 1:2 +flags (\\Deleted $Work)\nS: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Work)\nS: * OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Work \\*)] what can be kept\n"
	        "S: * 1 FETCH (FLAGS (\\Deleted $Work))\nS: * 2 FETCH (FLAGS (\\Deleted $Work))\nS: b OK stored\nC: c store 1 -flags \\Deleted\nS: * 1 FETCH (FLAGS ($Work))\nS: c OK stored\n"
	        "C: d uid store 3 flags (\\Seen)\nS: * 3 FETCH (UID 3 FLAGS (\\Seen))\nS: d OK stored\nC: e store 1 flags ()\nS: * 1 FETCH (FLAGS ())\nS: e OK stored\n" BYE },
	{ "store tells the flags of messages that had them already",
	  OPEN "C: b store 2 +flags.silent (\\Seen)\nS: b OK stored\nC: c store 1:3 +flags (\\Seen)\nS: * 1 FETCH (FLAGS (\\Seen))\nS: * 2 FETCH (FLAGS (\\Seen))\nS: * 3 FETCH (FLAGS (\\Seen))\nS: c OK stored\n" BYE },
	{ "store does not hide what others did",
	  OPEN "E: flag INBOX 3 4\nE: flag INBOX 2 2\nC: c store 2 +flags.silent (\\Seen)\nS: * 3 FETCH (FLAGS (\\Flagged))\nS: c OK stored\nE: flag INBOX 1 2\nC: d store 3 flags (\\Seen)\nS: * 1 FETCH (FLAGS (\\Answered))\nS: * 3 FETCH (FLAGS (\\Seen))\nS: d OK stored\n" BYE },
	{ "store in silence is silent", OPEN "C: b store 1:* +flags.silent \\Seen\nS: b OK stored\nC: c noop\nS: c OK done\n" BYE },
	{ "store refuses what is no flag", OPEN "C: b store 1 +flags (\\Recent)\nS: b BAD expected a flag that can be set\nC: c store 1 flag \\Seen\nS: c BAD expected FLAGS or FLAGS.SILENT\n" BYE },
	{ "expunge renumbers", OPEN "C: b store 1,3 +flags.silent (\\Deleted)\nS: b OK stored\nC: c expunge\nS: * 1 EXPUNGE\nS: * 2 EXPUNGE\nS: c OK expunged\nC: d fetch 1 uid\nS: * 1 FETCH (UID 2)\nS: d OK fetched\n" BYE },
	{ "uid expunge takes only the named", OPEN "C: b store 1,3 +flags.silent (\\Deleted)\nS: b OK stored\nC: c uid expunge 2:3\nS: * 3 EXPUNGE\nS: c OK expunged\n" BYE },
	{ "close expunges in silence, unselect does not",
	  OPEN "C: b store 1 +flags.silent (\\Deleted)\nS: b OK stored\nC: c unselect\nS: c OK done\nC: d status INBOX (messages)\nS: * STATUS \"INBOX\" (MESSAGES 3)\nS: d OK done\nC: e select INBOX\n"
	       "S: * FLAGS ...\nS: * OK ...\nS: * 3 EXISTS\nS: * 0 RECENT\nS: * OK ...\nS: * OK ...\nS: * OK ...\nS: e OK ...\nC: f close\nS: f OK done\nC: g status INBOX (messages)\nS: * STATUS \"INBOX\" (MESSAGES 2)\nS: g OK done\n" BYE },
	{ "copy tells the new UIDs", OPEN "C: b copy 2:3 Sent\nS: b OK [COPYUID 1002 2,3 1,2] copied\nC: c copy 1 Nope\nS: c NO [TRYCREATE] no such mailbox\nC: d uid copy 77 Sent\nS: d OK nothing to copy\n" BYE },
	{ "move tells the new UIDs and then the expunges", OPEN "C: b move 1:2 Sent\nS: * OK [COPYUID 1002 1,2 1,2] moved\nS: * 1 EXPUNGE\nS: * 1 EXPUNGE\nS: b OK moved\n" BYE },
	{ "uid move", OPEN "C: b uid move 3 Archive\nS: * OK [COPYUID 1004 3 1] moved\nS: * 3 EXPUNGE\nS: b OK moved\n" BYE },

	{ "append stores and tells the UID",
	  OPEN "C: b append INBOX (\\Seen) \"17-Jul-1996 02:44:25 -0700\" {14}\nS: + go on\nC: Subject: x\nC: \nC: \nS: * 4 EXISTS\nS: * 1 RECENT\nS: b OK [APPENDUID 1001 4] stored\n" BYE },
	{ "what follows an appended message is never a command",
	  OPEN "C: b append INBOX {5+}\nC: hello {10+}\nC: z noop\nS: b BAD expected the end of the command after the message\nS: * BYE cannot tell where the next command begins\n" },
	{ "append with a literal that does not wait",
	  OPEN "C: b append INBOX (\\Seen) \"17-Jul-1996 02:44:25 -0700\" {14+}\nC: Subject: x\nC: \nC: \nS: * 4 EXISTS\nS: * 1 RECENT\nS: b OK [APPENDUID 1001 4] stored\nC: c fetch 4 (flags internaldate rfc822.size)\n"
	       "S: * 4 FETCH (FLAGS (\\Seen \\Recent) INTERNALDATE \"17-Jul-1996 09:44:25 +0000\" RFC822.SIZE 14)\nS: c OK fetched\n" BYE },
	{ "append takes its mailbox as a literal", LOGIN "C: b append {4+}\nC: Sent {12}\nS: + go on\nC: Subject: x\nC: \nS: b OK [APPENDUID 1002 1] stored\nC: c noop\nS: c OK done\n" BYE },
	{ "append to nowhere says so before the message", LOGIN "C: b append Nope {5}\nS: b NO [TRYCREATE] no such mailbox\nC: c append Nope {5+}\nC: hello\nS: c NO [TRYCREATE] no such mailbox\nC: d noop\nS: d OK done\n" BYE },
	{ "a message too large is refused before it is sent", LOGIN "C: b append INBOX {4294967296}\nS: b NO [TOOBIG] a message may have 100000 octets\nC: c noop\nS: c OK done\n" BYE },
	{ "a message too large that does not wait ends the connection", LOGIN "C: b append INBOX {4294967296+}\nS: b NO [TOOBIG] a message may have 100000 octets\nS: * BYE [TOOBIG] literal larger than we take\nC: c noop\n" },
	{ "a literal too large in a command is refused before it is sent", LOGIN "C: b create {70000}\nS: b BAD [TOOBIG] literals of one command may have 65536 octets\nC: c noop\nS: c OK done\n" BYE },
	{ "a malformed append is told and its message read away", LOGIN "C: b append INBOX (\\Nope) {5+}\nC: hello\nS: b BAD expected a flag that can be set\nC: c append INBOX \"yesterday\" {3}\nS: c BAD expected a date-time like \"17-Jul-2026 02:44:25 +0200\"\n" BYE },

	{ "search by flags, numbers and sizes",
	  OPEN "C: a1 store 2 +flags.silent (\\Seen $a)\nS: * FLAGS ...\nS: * OK ...\nS: a1 OK stored\nC: b search seen\nS: * SEARCH 2\nS: b OK searched\nC: c search unseen 2:3\nS: * SEARCH 3\nS: c OK searched\nC: d search not 1:2\nS: * SEARCH 3\nS: d OK searched\n"
	       "C: e search or larger 300 smaller 140\nS: * SEARCH 2 3\nS: e OK searched\nC: f uid search keyword $A\nS: * SEARCH 2\nS: f OK searched\nC: g search unkeyword $a\nS: * SEARCH 1 3\nS: g OK searched\nC: h search (or (seen) (uid 3)) all\nS: * SEARCH 2 3\nS: h OK searched\n"
	       "C: i search new\nS: * SEARCH\nS: i OK searched\nC: j search old\nS: * SEARCH 1 2 3\nS: j OK searched\nC: k search recent\nS: * SEARCH\nS: k OK searched\n" BYE },
	{ "search by dates", OPEN "C: b search on 2-Feb-1994\nS: * SEARCH 2\nS: b OK searched\nC: c search since \"2-Feb-1994\"\nS: * SEARCH 2 3\nS: c OK searched\nC: d search before 2-Feb-1994\nS: * SEARCH 1\nS: d OK searched\n"
	       "C: e search sentbefore 8-Feb-1994\nS: * SEARCH 1\nS: e OK searched\nC: f search senton 8-Feb-1994\nS: * SEARCH 2\nS: f OK searched\nC: g search sentsince 8-Feb-1994\nS: * SEARCH 2 3\nS: g OK searched\nC: h search on yesterday\nS: h BAD expected a date like 1-Feb-1994\n" BYE },
	{ "search by text", OPEN "C: b search subject FIRST\nS: * SEARCH 1\nS: b OK searched\nC: c search from bob\nS: * SEARCH 1 2 3\nS: c OK searched\nC: d search body zebra\nS: * SEARCH 3\nS: d OK searched\nC: e search text \"inner text\"\nS: * SEARCH 2\nS: e OK searched\n"
	       "C: f search header x-note green\nS: * SEARCH 2\nS: f OK searched\nC: g search header x-empty \"\"\nS: * SEARCH 3\nS: g OK searched\nC: h search cc carol\nS: * SEARCH 2\nS: h OK searched\nC: i search not body zebra\nS: * SEARCH 1 2\nS: i OK searched\nC: j search bcc x\nS: * SEARCH\nS: j OK searched\n"
	       "C: k search header message-id 1@corp\nS: * SEARCH 1\nS: k OK searched\nC: l search to alice body this\nS: * SEARCH 1\nS: l OK searched\n" BYE },
	{ "search knows its charsets", OPEN "C: b search charset utf-8 subject {2+}\nC: \xc3(\nS: b NO [BADCHARSET (US-ASCII UTF-8)] ...\nC: c search charset utf-8 subject {6+}\nC: GR\xc3\x9c\xc3\x9f\nS: * SEARCH 2\nS: c OK searched\n"
	       "C: d search charset koi8-r all\nS: d NO [BADCHARSET (US-ASCII UTF-8)] only these charsets are known\n" BYE },
	{ "search refuses what it does not know", OPEN "C: b search frobnicate\nS: b BAD expected a search key\nC: c search or seen\nS: c BAD expected a space\nC: d search (seen\nS: d BAD expected \")\"\nC: e search\nS: e BAD expected a space\nC: f search 9\nS: f BAD no message has such a number\n" BYE },

	{ "idle tells what comes", OPEN "C: b idle\nS: + idling\nE: deliver INBOX 1\nS: * 4 EXISTS\nS: * 1 RECENT\nE: expunge INBOX 1\nS: * 1 EXPUNGE\nE: flag INBOX 2 1\nS: * 1 FETCH (FLAGS (\\Seen))\nC: DONE\nS: b OK idled\n" BYE },
	{ "idle ends by DONE only", OPEN "C: b idle\nS: + idling\nC: noop\nS: b BAD expected DONE\n" BYE },
	{ "idle gives a sign of life", OPEN "C: b idle\nS: + idling\nE: wait 121\nS: * OK still here\nE: wait 60\nC: DONE\nS: b OK idled\n" BYE },
	{ "idle ends by itself at last", OPEN "C: b idle\nS: + idling\nE: wait 1801\nS: * BYE nothing was said for too long\nC: DONE\n" },
	{ "silence after login ends the session", OPEN "E: wait 1801\nS: * BYE nothing was said for too long\n" },
	{ "news waits for a command", OPEN "E: deliver INBOX 1\nC: b noop\nS: * 4 EXISTS\nS: * 1 RECENT\nS: b OK done\n" BYE },
	{ "expunges wait while numbers are in use",
	  OPEN "E: expunge INBOX 1\nC: b fetch 1:2 uid\nS: * 2 FETCH (UID 2)\nS: b OK [EXPUNGEISSUED] fetched\nC: c fetch 2 uid\nS: * 2 FETCH (UID 2)\nS: c OK [EXPUNGEISSUED] fetched\nC: c2 search all\nS: * SEARCH 2 3\nS: c2 OK [EXPUNGEISSUED] searched\nC: d noop\nS: * 1 EXPUNGE\nS: d OK done\nC: e fetch 2 uid\nS: * 2 FETCH (UID 3)\nS: e OK fetched\n" BYE },
	{ "uid fetch may tell of expunges", OPEN "E: expunge INBOX 1\nC: b uid fetch 2 flags\nS: * 2 FETCH (UID 2 FLAGS ())\nS: * 1 EXPUNGE\nS: b OK fetched\n" BYE },
	{ "somebody else's flags are told", OPEN "E: flag INBOX 2 4\nC: b noop\nS: * 2 FETCH (FLAGS (\\Flagged))\nS: b OK done\n" BYE },
	{ "what the house has forgotten is read again",
	  OPEN "E: expunge INBOX 2\nE: deliver INBOX 1\nE: flag INBOX 3 1\nE: forget\nC: b noop\nS: * FLAGS ...\nS: * OK [PERMANENTFLAGS ...\nS: * 3 FETCH (FLAGS (\\Seen))\nS: * 2 EXPUNGE\nS: * 3 EXISTS\nS: * 1 RECENT\nS: b OK done\nC: c fetch 1:* uid\nS: * 1 FETCH (UID 1)\nS: * 2 FETCH (UID 3)\nS: * 3 FETCH (UID 4)\nS: c OK fetched\n" BYE },
	{ "what no session was given is recent in the first that selects the mailbox, to its end",
	  LOGIN THREE_NEW SELECT_NEW(3, "s") "C: b fetch 1:2 flags\nS: * 1 FETCH (FLAGS (\\Recent))\nS: * 2 FETCH (FLAGS (\\Recent))\nS: b OK fetched\n"
	        "C: c uid store 2 +flags (\\Seen $a)\nS: * FLAGS ...\nS: * OK ...\nS: * 2 FETCH (UID 2 FLAGS (\\Seen \\Recent $a))\nS: c OK stored\n"
	        "C: d fetch 3 body[text]\nS: * 3 FETCH (BODY[TEXT] {7}\nS: zebra\nS:  FLAGS (\\Seen \\Recent))\nS: d OK fetched\nE: flag INBOX 1 4\nC: e noop\nS: * 1 FETCH (FLAGS (\\Flagged \\Recent))\nS: e OK done\n"
	        SELECT_NEW(0, "t") "C: f fetch 1 flags\nS: * 1 FETCH (FLAGS (\\Flagged))\nS: f OK fetched\n" BYE },
	{ "examine shows what is recent and takes nothing",
	  LOGIN THREE_NEW "C: s examine INBOX\nS: * FLAGS ...\nS: * OK ...\nS: * 3 EXISTS\nS: * 3 RECENT\nS: * OK ...\nS: * OK ...\nS: * OK ...\nS: s OK [READ-ONLY] selected\n"
	        "C: b fetch 3 flags\nS: * 3 FETCH (FLAGS (\\Recent))\nS: b OK fetched\nE: deliver INBOX 1\nC: c noop\nS: * 4 EXISTS\nS: * 4 RECENT\nS: c OK done\n"
	        "E: given INBOX\nE: deliver INBOX 1\nC: d noop\nS: * 5 EXISTS\nS: * 5 RECENT\nS: d OK done\nC: e fetch 4:5 flags\nS: * 4 FETCH (FLAGS (\\Recent))\nS: * 5 FETCH (FLAGS (\\Recent))\nS: e OK fetched\n"
	        SELECT_NEW(1, "t") BYE },
	{ "status counts what is recent and takes nothing",
	  LOGIN THREE_NEW "C: b status INBOX (recent)\nS: * STATUS \"INBOX\" (RECENT 3)\nS: b OK done\nE: given INBOX\nE: deliver INBOX 2\nC: c status INBOX (messages recent)\n"
	        "S: * STATUS \"INBOX\" (MESSAGES 5 RECENT 2)\nS: c OK done\nE: damage INBOX 5\nE: expunge INBOX 4\nC: d status INBOX (recent)\nS: * STATUS \"INBOX\" (RECENT 1)\nS: d OK done\n"
	        SELECT_NEW(1, "t") "C: e status INBOX (recent unseen)\nS: * STATUS \"INBOX\" (RECENT 0 UNSEEN 4)\nS: e OK done\n" BYE },
	{ "what another session was told of first is not recent here",
	  OPEN "E: deliver INBOX 2\nE: given INBOX\nC: b noop\nS: * 5 EXISTS\nS: * 0 RECENT\nS: b OK done\nE: deliver INBOX 1\nC: c noop\nS: * 6 EXISTS\nS: * 1 RECENT\nS: c OK done\n"
	       "C: d fetch 4:6 flags\nS: * 4 FETCH (FLAGS ())\nS: * 5 FETCH (FLAGS ())\nS: * 6 FETCH (FLAGS (\\Recent))\nS: d OK fetched\n"
	       "C: e search recent\nS: * SEARCH 6\nS: e OK searched\n" BYE },
	{ "a recent message that goes is told: fewer are recent",
	  LOGIN THREE_NEW SELECT_NEW(3, "s") "C: b store 1,3 +flags.silent (\\Deleted)\nS: b OK stored\nC: c expunge\nS: * 1 EXPUNGE\nS: * 2 EXPUNGE\nS: * 1 RECENT\nS: c OK expunged\n"
	        "E: expunge INBOX 2\nE: deliver INBOX 1\nC: d noop\nS: * 1 EXPUNGE\nS: * 1 EXISTS\nS: * 1 RECENT\nS: d OK done\nE: deliver INBOX 1\nE: expunge INBOX 5\nC: e noop\nS: e OK done\n" BYE },
	{ "search knows what is recent, new and old",
	  OPEN "E: deliver INBOX 3\nE: flag INBOX 5 1\nC: b noop\nS: * 6 EXISTS\nS: * 3 RECENT\nS: b OK done\nC: c search recent\nS: * SEARCH 4 5 6\nS: c OK searched\nC: d search new\nS: * SEARCH 4 6\nS: d OK searched\n"
	       "C: e search old\nS: * SEARCH 1 2 3\nS: e OK searched\nC: f uid search not new\nS: * SEARCH 1 2 3 5\nS: f OK searched\nC: g search or old (recent seen)\nS: * SEARCH 1 2 3 5\nS: g OK searched\n"
	       "C: h search new subject third\nS: * SEARCH 6\nS: h OK searched\nC: i search not old 5:*\nS: * SEARCH 5 6\nS: i OK searched\nC: j search new 1:4\nS: * SEARCH 4\nS: j OK searched\n" BYE },
	{ "copies and moves are recent where they arrive",
	  OPEN "C: b copy 1 Sent\nS: b OK [COPYUID 1002 1 1] copied\nC: c copy 2 INBOX\nS: * 4 EXISTS\nS: * 1 RECENT\nS: c OK [COPYUID 1001 2 4] copied\nC: d move 3 Sent\nS: * OK [COPYUID 1002 3 2] moved\nS: * 3 EXPUNGE\nS: d OK moved\n"
	       "C: e status Sent (recent)\nS: * STATUS \"Sent\" (RECENT 2)\nS: e OK done\nC: f select Sent\nS: * FLAGS ...\nS: * OK ...\nS: * 2 EXISTS\nS: * 2 RECENT\nS: * OK ...\nS: * OK ...\nS: * OK ...\nS: f OK ...\n" BYE },
	{ "an append cannot ask for what is the server's", LOGIN "C: b append INBOX (\\Recent) {5+}\nC: hello\nS: b BAD expected a flag that can be set\n" BYE },
	{ "a range of an empty mailbox is empty", LOGIN "C: s select Sent\nS: * FLAGS ...\nS: * OK ...\nS: * 0 EXISTS\nS: * 0 RECENT\nS: * OK ...\nS: * OK ...\nS: s OK [READ-WRITE] selected\nC: b fetch 1:* flags\nS: b OK fetched\nC: c search all\nS: * SEARCH\nS: c OK searched\nC: d fetch 1 flags\nS: d BAD no message has such a number\n" BYE },
	{ "trailing words are refused", OPEN "C: b noop x\nS: b BAD expected the end of the command\nC: c check x\nS: c BAD ...\nC: d close x\nS: d BAD ...\nC: e expunge 1\nS: e BAD ...\nC: f idle x\nS: f BAD ...\nC: g logout x\nS: g BAD ...\nC: h fetch 1 flags x\nS: h BAD ...\nC: i select INBOX x\nS: i BAD ...\nC: j namespace x\nS: j BAD ...\n" BYE },
};

static void one_play(void **state) { play_check(*state); }

static void starttls_is_offered_and_hides_what_came_before(void **state)
{
	(void)state;
	struct play p;
	play_init(&p);
	p.can_tls = true;
	p.config.plaintext_login = false;
	play_expect(&p, "S: * OK [CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID STARTTLS LOGINDISABLED] mail.corp.example ready\n"
	                "C: a login alice@corp.example secret\nS: a NO [PRIVACYREQUIRED] use TLS first\nC: b authenticate plain AGEAYg==\nS: b NO [PRIVACYREQUIRED] use TLS first\n"
	                "C: c login x {6}\nS: c BAD [PRIVACYREQUIRED] use TLS first\nC: d starttls\nS: d OK begin TLS now\nC: e logout\n"
	                "E: more\nC: f starttls\nS: f BAD TLS is on already\nC: g capability\nS: * CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID AUTH=PLAIN\nS: g OK that is all\n"
	                "C: h login alice@corp.example secret\nS: h OK ...\nC: i starttls\nS: i BAD you are logged in already\nC: j logout\nS: * BYE see you\nS: j OK logged out\n");
	play_done(&p);
}

static void a_refused_connection_gets_bye(void **state)
{
	(void)state;
	struct play p;
	play_init(&p);
	p.house.refuses = true;
	play_expect(&p, "S: * BYE [UNAVAILABLE] too many connections\nC: a noop\n");
	play_done(&p);
}

static void a_busy_vault_is_no_wrong_password(void **state)
{
	(void)state;
	struct play p;
	play_init(&p);
	p.house.login_rc = RC_BUSY;
	play_expect(&p, GREETING "C: a login alice@corp.example secret\nS: a NO [LIMIT] not now\n");
	p.house.login_rc = RC_IO;
	play_expect(&p, GREETING "C: a login alice@corp.example secret\nS: a NO [UNAVAILABLE] not now\n");
	play_done(&p);
}

static void over_quota_is_told(void **state)
{
	(void)state;
	struct play p;
	play_init(&p);
	p.house.append_rc = RC_FULL;
	play_expect(&p, LOGIN "C: b append INBOX {5}\nS: b NO [OVERQUOTA] over quota\nC: c append INBOX {5+}\nC: hello\nS: c NO [OVERQUOTA] over quota\n" BYE);
	play_done(&p);
}

static void a_body_that_ends_early_ends_the_connection(void **state)
{
	(void)state;
	struct play p;
	play_init(&p);
	p.house.body_cut = 150;
	play_expect(&p, OPEN "C: b fetch 2 body.peek[]\nS: * 2 FETCH (BODY[] {399}\nS: From: Bob...\nS: To: Alice...\nS: Cc: carol...\nS: Subject: =?u...\nS: Date: ...\nC: c noop\n");
	play_done(&p);
}

static void seen_that_cannot_be_stored_is_told(void **state)
{
	(void)state;
	struct play p;
	play_init(&p);
	p.house.store_rc = RC_FULL;
	play_expect(&p, OPEN "C: b fetch 3 body[text]\nS: * 3 FETCH (BODY[TEXT] {7}\nS: zebra\nS:  FLAGS (\\Seen))\nS: b NO [OVERQUOTA] the disk is full\n" BYE);
	play_done(&p);
}

/* RFC 3501 2.3.2: in doubt a message is recent. */
static void what_cannot_be_asked_is_recent(void **state)
{
	(void)state;
	struct play p;
	play_init(&p);
	p.house.recent_rc = RC_IO;
	play_expect(&p, LOGIN THREE_NEW SELECT_NEW(3, "s") "E: deliver INBOX 1\nC: b noop\nS: * 4 EXISTS\nS: * 4 RECENT\nS: b OK done\nC: c fetch 4 flags\nS: * 4 FETCH (FLAGS (\\Recent))\nS: c OK fetched\n"
	                "C: d status INBOX (recent)\nS: * STATUS \"INBOX\" (RECENT 4)\nS: d OK done\n" BYE);
	play_done(&p);
}

static void only_what_is_new_is_asked_for(void **state)
{
	(void)state;
	struct play p;
	play_init(&p);
	play_expect(&p, OPEN "C: b status INBOX (messages recent)\nS: * STATUS \"INBOX\" (MESSAGES 3 RECENT 0)\nS: b OK done\nC: c select INBOX\nS: * FLAGS ...\nS: * OK ...\nS: * 3 EXISTS\nS: * 0 RECENT\n"
	                     "S: * OK ...\nS: * OK ...\nS: * OK ...\nS: c OK ...\nC: d select Sent\nS: * FLAGS ...\nS: * OK ...\nS: * 0 EXISTS\nS: * 0 RECENT\nS: * OK ...\nS: * OK ...\nS: d OK ...\n" BYE);
	assert_int_equal(p.house.asked_recent, 0);
	play_done(&p);
}

/* What was read may be older than what was given meanwhile. */
static void the_house_knows_better_than_what_was_read(void **state)
{
	(void)state;
	struct play p;
	play_init(&p);
	p.house.stale = true;
	play_expect(&p, OPEN "C: b status INBOX (recent)\nS: * STATUS \"INBOX\" (RECENT 0)\nS: b OK done\nE: deliver INBOX 1\nC: c status INBOX (recent)\nS: * STATUS \"INBOX\" (RECENT 1)\nS: * 4 EXISTS\nS: * 1 RECENT\nS: c OK done\n"
	                     "C: d examine INBOX\nS: * FLAGS ...\nS: * OK ...\nS: * 4 EXISTS\nS: * 0 RECENT\nS: * OK ...\nS: * OK ...\nS: * OK ...\nS: d OK ...\n" BYE);
	play_done(&p);
}

static void a_line_too_long_is_refused_with_the_limit(void **state)
{
	(void)state;
	static char script[80000];
	struct play p;
	play_init(&p);
	char *at = script + snprintf(script, 200, "%sC: b search ", play_login);
	memset(at, 'x', 70000);
	memcpy(at + 70000, "\nC: c noop\n", 12);
	play_run(&p, script);
	assert_true(str_find_str(buf_str(&p.out), STR("* BAD a command may have 65536 octets besides its literals\r\n* BYE ")) < p.out.len);
	play_done(&p);
}

/* The sample of RFC 3501 section 8, in our words. */
static void the_sample_of_the_rfc(void **state)
{
	(void)state;
	play_check(GREETING "C: a001 login alice@corp.example secret\nS: a001 OK ...\n" THREE
	           "C: a002 select inbox\nS: * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\nS: * OK [PERMANENTFLAGS ...\nS: * 3 EXISTS\nS: * 0 RECENT\nS: * OK [UNSEEN 1] ...\n"
	           "S: * OK [UIDVALIDITY 1001] these UIDs hold\nS: * OK [UIDNEXT 4] the next\nS: a002 OK [READ-WRITE] selected\n"
	           "C: a003 fetch 1 full\nS: * 1 FETCH (FLAGS () INTERNALDATE \" 1-Feb-1994 07:06:40 +0000\" RFC822.SIZE 169 ENVELOPE (\"Mon, 7 Feb 1994 21:52:25 -0800\" ...\nS: a003 OK fetched\n"
	           "C: a004 fetch 1 body[header]\nS: * 1 FETCH (BODY[HEADER] {148}\nS: From: Bob <bob@corp.example>\nS: To: Alice <alice@corp.example>\nS: Subject: first\n"
	           "S: Date: Mon, 7 Feb 1994 21:52:25 -0800\nS: Message-ID: <1@corp.example>\nS: \nS:  FLAGS (\\Seen))\nS: a004 OK fetched\n"
	           "C: a005 store 1 +flags \\deleted\nS: * 1 FETCH (FLAGS (\\Seen \\Deleted))\nS: a005 OK stored\nC: a006 logout\nS: * BYE see you\nS: a006 OK logged out\n");
}

/* Whatever call for memory fails, the session ends or goes on, lies nowhere and keeps nothing. */
static void every_allocation_may_fail(void **state);
static void the_connection_may_break_at_every_octet(void **state);

static const char journey[] = GREETING "C: a login \"alice@corp.example\" {6}\nC: secret\n" THREE
	"C: b select INBOX\nC: c fetch 1:* (uid flags internaldate rfc822.size envelope body bodystructure)\nC: d fetch 1:2 body[]\nC: e fetch 2 (body[1] body[header.fields (from to)])\n"
	"C: f store 1:2 +flags (\\Deleted foo)\nC: g search or body zebra subject first not keyword foo\nC: h copy 1:3 Sent\nC: i append INBOX (\\Seen bar) {5+}\nC: hello\n"
	"C: j list \"\" *\nC: k status Sent (messages unseen)\nC: l create x/y\nC: m rename x z\nC: n delete z/y\nC: o lsub \"\" %\nC: p idle\nE: expunge INBOX 3\nE: deliver INBOX 2\nE: flag INBOX 1 3\nC: DONE\n"
	"C: q uid move 2 Archive\nC: r expunge\nE: forget\nC: s noop\nC: s1 search new\nC: s2 status Archive (recent)\nC: t close\nC: u logout\n";

static void check_balance(const struct play *p)
{
	assert_int_equal(p->house.cursors, 0);
	assert_int_equal(p->house.opens, p->house.closes);
	assert_int_equal(p->house.logins, p->house.logouts);
	assert_int_equal(p->house.append_box, 0);
}

static void every_allocation_may_fail(void **state)
{
	(void)state;
	long k = 0;
	for (bool done = false; !done && k < 100000; k++) {
		struct play p;
		play_init(&p);
		assert_true(buf_room(&p.in, 8192) && buf_room(&p.out, 65536));
		mem_count = 0;
		mem_fail_at = k;
		play_run(&p, journey);
		done = mem_count <= k;
		mem_fail_at = -1;
		check_balance(&p);
		play_done(&p);
	}
	assert_in_range(k, 100, 99999);
	print_message("%ld allocations failed in turn\n", k - 1);
}

static void the_connection_may_break_at_every_octet(void **state)
{
	(void)state;
	struct play whole;
	play_init(&whole);
	play_run(&whole, journey);
	size_t said = whole.out.len;
	assert_true(str_find_str(buf_str(&whole.out), STR("u OK logged out")) < said);
	for (long k = 0; k < (long)said + 1500; k++) {
		struct play p;
		play_init(&p);
		p.fail_at = k;
		play_run(&p, journey);
		check_balance(&p);
		/* What was said is the beginning of what would have been said. */
		assert_true(p.out.len <= said);
		assert_memory_equal(p.out.p ? p.out.p : "", whole.out.p, p.out.len);
		play_done(&p);
	}
	play_done(&whole);
}

int main(void)
{
	enum { PLAYS = sizeof plays / sizeof *plays };
	static const struct CMUnitTest others[] = {
		cmocka_unit_test(starttls_is_offered_and_hides_what_came_before),
		cmocka_unit_test(a_refused_connection_gets_bye),
		cmocka_unit_test(a_busy_vault_is_no_wrong_password),
		cmocka_unit_test(over_quota_is_told),
		cmocka_unit_test(a_body_that_ends_early_ends_the_connection),
		cmocka_unit_test(seen_that_cannot_be_stored_is_told),
		cmocka_unit_test(what_cannot_be_asked_is_recent),
		cmocka_unit_test(only_what_is_new_is_asked_for),
		cmocka_unit_test(the_house_knows_better_than_what_was_read),
		cmocka_unit_test(a_line_too_long_is_refused_with_the_limit),
		cmocka_unit_test(the_sample_of_the_rfc),
		cmocka_unit_test(every_allocation_may_fail),
		cmocka_unit_test(the_connection_may_break_at_every_octet),
	};
	enum { OTHERS = sizeof others / sizeof *others };
	static struct CMUnitTest all[PLAYS + OTHERS];
	for (size_t i = 0; i < PLAYS; i++)
		all[i] = (struct CMUnitTest){ .name = plays[i].name, .test_func = one_play, .initial_state = (void *)(uintptr_t)plays[i].script };
	memcpy(all + PLAYS, others, sizeof others);
	return cmocka_run_group_tests_name("imap dialogs", all, NULL, NULL);
}
