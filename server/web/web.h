#ifndef SERVER_WEB_WEB_H
#define SERVER_WEB_WEB_H

#include "server/app.h"

/*
 * The dashboard's files, from --web-dir: by default share/lathe/web beside the folder of
 * lathed's own program, where the build and the installation put them.
 *
 *     GET /                       index.html
 *     GET /web/{name}             a file of the folder
 *     GET /web/{name}/{file}      a file of one of its folders
 *
 * All of them are read when the service starts, at most WEB_MAX_FILES of WEB_MAX_BYTES each, and
 * answered from memory: a request names an entry of that table or nothing, so no path of a
 * client's ever reaches the disk. Only names of small letters, digits, "_", "-" and "."
 * with an ending we know a type for are taken in; where name.gz lies beside name it is what
 * clients that understand gzip get. Replies carry an ETag and a policy that lets a page load
 * and run nothing but these files. No token is asked for: the files hold nothing secret.
 *
 * Without the folder the service runs, and / says what is missing.
 */
enum { WEB_MAX_FILES = 128, WEB_MAX_BYTES = 4 << 20 };

extern const struct part web_part;

#endif
