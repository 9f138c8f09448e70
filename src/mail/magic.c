#include "mail/magic.h"

static const struct { uint16_t at; struct str octets, type; } table[] = {
	{ 0, STR_INIT("%PDF-"), STR_INIT("pdf") },
	{ 0, STR_INIT("\x89PNG\r\n\x1a\n"), STR_INIT("png") },
	{ 0, STR_INIT("\xff\xd8\xff"), STR_INIT("jpeg") },
	{ 0, STR_INIT("GIF87a"), STR_INIT("gif") },
	{ 0, STR_INIT("GIF89a"), STR_INIT("gif") },
	{ 8, STR_INIT("WEBPVP8"), STR_INIT("webp") },
	{ 8, STR_INIT("WAVEfmt "), STR_INIT("wav") },
	{ 8, STR_INIT("AVI LIST"), STR_INIT("avi") },
	{ 0, STR_INIT("II*\0"), STR_INIT("tiff") },
	{ 0, STR_INIT("MM\0*"), STR_INIT("tiff") },
	{ 4, STR_INIT("ftyp"), STR_INIT("mp4") },
	{ 0, STR_INIT("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), STR_INIT("ole2") },
	{ 0, STR_INIT("PK\x03\x04"), STR_INIT("zip") },
	{ 0, STR_INIT("PK\x05\x06"), STR_INIT("zip") },
	{ 0, STR_INIT("Rar!\x1a\x07"), STR_INIT("rar") },
	{ 0, STR_INIT("7z\xbc\xaf\x27\x1c"), STR_INIT("7z") },
	{ 0, STR_INIT("\x1f\x8b"), STR_INIT("gzip") },
	{ 0, STR_INIT("BZh"), STR_INIT("bzip2") },
	{ 0, STR_INIT("\xfd" "7zXZ\0"), STR_INIT("xz") },
	{ 0, STR_INIT("\x28\xb5\x2f\xfd"), STR_INIT("zstd") },
	{ 257, STR_INIT("ustar"), STR_INIT("tar") },
	{ 0, STR_INIT("MSCF\0\0\0\0"), STR_INIT("cab") },
	{ 7, STR_INIT("**ACE**"), STR_INIT("ace") },
	{ 2, STR_INIT("-lh"), STR_INIT("lha") },
	{ 0, STR_INIT("MZ"), STR_INIT("exe") },
	{ 0, STR_INIT("\x7f" "ELF"), STR_INIT("elf") },
	{ 0, STR_INIT("\xcf\xfa\xed\xfe"), STR_INIT("macho") },
	{ 0, STR_INIT("\xce\xfa\xed\xfe"), STR_INIT("macho") },
	{ 0, STR_INIT("\xca\xfe\xba\xbe"), STR_INIT("class") },
	{ 0, STR_INIT("L\0\0\0\x01\x14\x02\0"), STR_INIT("lnk") },
	{ 0, STR_INIT("#!"), STR_INIT("script") },
	{ 0, STR_INIT("{\\rtf"), STR_INIT("rtf") },
	{ 0, STR_INIT("%!PS"), STR_INIT("ps") },
	{ 0, STR_INIT("OggS"), STR_INIT("ogg") },
	{ 0, STR_INIT("ID3"), STR_INIT("mp3") },
	{ 0, STR_INIT("fLaC"), STR_INIT("flac") },
	{ 0, STR_INIT("ITSF"), STR_INIT("chm") },
	{ 0, STR_INIT("vhdxfile"), STR_INIT("vhd") },
	{ 0, STR_INIT("\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d"), STR_INIT("onenote") },
	{ 0, STR_INIT("x\x9f\x3e\x22"), STR_INIT("tnef") },
};

/* Text formats: the first thing after white space and a byte order mark, any case. */
static const struct { struct str begins, type; } texts[] = {
	{ STR_INIT("<!doctype html"), STR_INIT("html") }, { STR_INIT("<html"), STR_INIT("html") }, { STR_INIT("<script"), STR_INIT("html") },
	{ STR_INIT("<head"), STR_INIT("html") }, { STR_INIT("<body"), STR_INIT("html") }, { STR_INIT("<svg"), STR_INIT("svg") },
	{ STR_INIT("<?xml"), STR_INIT("xml") }, { STR_INIT("begin:vcalendar"), STR_INIT("ics") }, { STR_INIT("begin:vcard"), STR_INIT("vcf") },
	{ STR_INIT("[internetshortcut]"), STR_INIT("url") }, { STR_INIT("-----begin pgp"), STR_INIT("pgp") },
};

static const struct { struct str said, type; } promises[] = {
	{ STR_INIT("pdf"), STR_INIT("pdf") }, { STR_INIT("png"), STR_INIT("png") }, { STR_INIT("jpg"), STR_INIT("jpeg") },
	{ STR_INIT("jpeg"), STR_INIT("jpeg") }, { STR_INIT("gif"), STR_INIT("gif") }, { STR_INIT("webp"), STR_INIT("webp") },
	{ STR_INIT("tif"), STR_INIT("tiff") }, { STR_INIT("tiff"), STR_INIT("tiff") }, { STR_INIT("zip"), STR_INIT("zip") },
	{ STR_INIT("docx"), STR_INIT("docx") }, { STR_INIT("docm"), STR_INIT("docx") }, { STR_INIT("xlsx"), STR_INIT("xlsx") },
	{ STR_INIT("xlsm"), STR_INIT("xlsx") }, { STR_INIT("pptx"), STR_INIT("pptx") }, { STR_INIT("doc"), STR_INIT("ole2") },
	{ STR_INIT("xls"), STR_INIT("ole2") }, { STR_INIT("ppt"), STR_INIT("ole2") }, { STR_INIT("msi"), STR_INIT("ole2") },
	{ STR_INIT("odt"), STR_INIT("odf") }, { STR_INIT("ods"), STR_INIT("odf") }, { STR_INIT("odp"), STR_INIT("odf") },
	{ STR_INIT("jar"), STR_INIT("jar") }, { STR_INIT("apk"), STR_INIT("jar") }, { STR_INIT("rar"), STR_INIT("rar") },
	{ STR_INIT("7z"), STR_INIT("7z") }, { STR_INIT("gz"), STR_INIT("gzip") }, { STR_INIT("tgz"), STR_INIT("gzip") },
	{ STR_INIT("bz2"), STR_INIT("bzip2") }, { STR_INIT("xz"), STR_INIT("xz") }, { STR_INIT("cab"), STR_INIT("cab") },
	{ STR_INIT("exe"), STR_INIT("exe") }, { STR_INIT("dll"), STR_INIT("exe") }, { STR_INIT("scr"), STR_INIT("exe") },
	{ STR_INIT("lnk"), STR_INIT("lnk") }, { STR_INIT("rtf"), STR_INIT("rtf") }, { STR_INIT("iso"), STR_INIT("iso") },
	{ STR_INIT("txt"), STR_INIT("text") }, { STR_INIT("csv"), STR_INIT("text") }, { STR_INIT("html"), STR_INIT("html") },
	{ STR_INIT("htm"), STR_INIT("html") }, { STR_INIT("mp3"), STR_INIT("audio") }, { STR_INIT("wav"), STR_INIT("wav") },
	{ STR_INIT("application/pdf"), STR_INIT("pdf") }, { STR_INIT("image/png"), STR_INIT("png") }, { STR_INIT("image/jpeg"), STR_INIT("jpeg") },
	{ STR_INIT("image/jpg"), STR_INIT("jpeg") }, { STR_INIT("image/pjpeg"), STR_INIT("jpeg") }, { STR_INIT("image/gif"), STR_INIT("gif") },
	{ STR_INIT("image/webp"), STR_INIT("webp") }, { STR_INIT("image/tiff"), STR_INIT("tiff") }, { STR_INIT("application/zip"), STR_INIT("zip") },
	{ STR_INIT("application/x-zip-compressed"), STR_INIT("zip") }, { STR_INIT("application/gzip"), STR_INIT("gzip") },
	{ STR_INIT("application/x-gzip"), STR_INIT("gzip") }, { STR_INIT("application/rtf"), STR_INIT("rtf") },
	{ STR_INIT("application/vnd.openxmlformats-officedocument.wordprocessingml.document"), STR_INIT("docx") },
	{ STR_INIT("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"), STR_INIT("xlsx") },
	{ STR_INIT("application/vnd.openxmlformats-officedocument.presentationml.presentation"), STR_INIT("pptx") },
	{ STR_INIT("text/plain"), STR_INIT("text") }, { STR_INIT("text/csv"), STR_INIT("text") }, { STR_INIT("text/html"), STR_INIT("html") },
	{ STR_INIT("text/calendar"), STR_INIT("ics") }, { STR_INIT("text/vcard"), STR_INIT("vcf") },
};

/* RFC-less but stable: the first members of a package say what it is. */
static struct str zip_type(struct str head)
{
	static const struct { struct str mark, type; } marks[] = {
		{ STR_INIT("word/"), STR_INIT("docx") }, { STR_INIT("xl/"), STR_INIT("xlsx") }, { STR_INIT("ppt/"), STR_INIT("pptx") },
		{ STR_INIT("mimetypeapplication/vnd.oasis"), STR_INIT("odf") }, { STR_INIT("mimetypeapplication/epub"), STR_INIT("epub") },
		{ STR_INIT("META-INF/"), STR_INIT("jar") }, { STR_INIT("AndroidManifest.xml"), STR_INIT("jar") },
	};
	for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
		if (str_find_str(head, marks[i].mark) < head.n)
			return marks[i].type;
	return str_find_str(head, STR("[Content_Types].xml")) < head.n ? STR("ooxml") : STR("zip");
}

static struct str text_type(struct str head)
{
	if (str_starts(head, STR("\xef\xbb\xbf")))
		head = str_skip(head, 3);
	head = str_trim(head);
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		if (str_istarts(head, texts[i].begins))
			return texts[i].type;
	return STR("");
}

struct str magic_type(struct str head)
{
	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		if (str_starts(str_skip(head, table[i].at), table[i].octets))
			return str_eq(table[i].type, STR("zip")) ? zip_type(head) : table[i].type;
	if (head.n > 0x8006 && str_eq((struct str){ head.p + 0x8001, 5 }, STR("CD001"))) /* only when enough was given */
		return STR("iso");
	return text_type(head);
}

struct str magic_promise(struct str name, struct str mime_type)
{
	size_t dot = name.n;
	while (dot > 0 && name.p[dot - 1] != '.')
		dot--;
	struct str ending = dot ? str_skip(name, dot) : STR("");
	for (int turn = 0; turn < 2; turn++) { /* the name decides what opens it, so it goes first */
		struct str said = turn ? mime_type : ending;
		for (size_t i = 0; said.n && i < sizeof promises / sizeof promises[0]; i++)
			if (str_ieq(said, promises[i].said))
				return promises[i].type;
	}
	return STR("");
}

static bool is_any(struct str s, const char (*set)[8], size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(s, str_z(set[i])))
			return true;
	return false;
}

bool magic_breaks(struct str promise, struct str found, bool empty)
{
	static const char zips[][8] = { "zip", "ooxml", "docx", "xlsx", "pptx", "odf", "jar", "epub" };
	static const char textual[][8] = { "html", "svg", "xml", "ics", "vcf", "url", "pgp", "script", "" };
	static const char audio[][8] = { "mp3", "" };
	if (promise.n == 0 || empty || str_eq(promise, found))
		return false;
	if (str_eq(promise, STR("iso")))
		return found.n > 0 && !str_eq(found, STR("iso")); /* its mark is past what was decoded */
	if (str_eq(promise, STR("text")) || str_eq(promise, STR("html")) || str_eq(promise, STR("ics")) || str_eq(promise, STR("vcf")))
		return !is_any(found, textual, sizeof textual / sizeof textual[0]);
	if (str_eq(promise, STR("audio")))
		return !is_any(found, audio, 2);
	if (str_eq(promise, STR("zip")))
		return !is_any(found, zips, sizeof zips / sizeof zips[0]);
	if (is_any(promise, zips, sizeof zips / sizeof zips[0]))
		return !str_eq(found, STR("zip")) && !str_eq(found, STR("ooxml"));
	/* Word opens its own old files, RTF and packages by any of these names */
	if (str_eq(promise, STR("ole2")))
		return !str_eq(found, STR("rtf")) && !is_any(found, zips, 5);
	return true;
}
