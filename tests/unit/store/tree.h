#pragma once
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Removes a directory with all that is in it (tests only; two levels are all there are). */
static inline void tree_remove(const char *path)
{
	DIR *d = opendir(path);
	if (!d)
		return;
	for (struct dirent *f = readdir(d); f; f = readdir(d)) {
		char name[512];
		if (strcmp(f->d_name, ".") == 0 || strcmp(f->d_name, "..") == 0)
			continue;
		int n = snprintf(name, sizeof name, "%s/%s", path, f->d_name);
		if (n > 0 && (size_t)n < sizeof name && unlink(name) != 0)
			tree_remove(name);
	}
	(void)closedir(d);
	(void)rmdir(path);
}
