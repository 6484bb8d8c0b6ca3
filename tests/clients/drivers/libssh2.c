/* The operations of clients_driven.py by libssh2. */

#include <arpa/inet.h>
#include <libssh2.h>
#include <libssh2_sftp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "driver.h"

#define CHUNK 262144

static LIBSSH2_SESSION *session;
static LIBSSH2_SFTP *sftp;

static const char *reason(void)
{
    static char text[256];
    char *message;
    int code = libssh2_session_last_error(session, &message, NULL, 0);
    snprintf(text, sizeof text, "%d %s (status %lu)", code, message, libssh2_sftp_last_error(sftp));
    return text;
}

static const char *done(int code)
{
    if (code < 0)
        return reason();
    printf("ok");
    return NULL;
}

static const char *put(const char *local, const char *remote, int resume)
{
    static char buffer[CHUNK];
    unsigned long flags = LIBSSH2_FXF_WRITE | LIBSSH2_FXF_CREAT | (resume ? 0 : LIBSSH2_FXF_TRUNC);
    LIBSSH2_SFTP_HANDLE *target = libssh2_sftp_open(sftp, remote, flags, 0644);
    if (!target)
        return reason();
    FILE *source = fopen(local, "rb");
    require(source != NULL, local);
    if (resume) {
        LIBSSH2_SFTP_ATTRIBUTES found;
        if (libssh2_sftp_fstat(target, &found))
            return reason();
        fseek(source, (long) found.filesize, SEEK_SET);
        libssh2_sftp_seek64(target, found.filesize);
    }
    size_t size;
    while ((size = fread(buffer, 1, sizeof buffer, source)) > 0)
        for (char *rest = buffer; size > 0;) {
            ssize_t written = libssh2_sftp_write(target, rest, size);
            if (written < 0)
                return reason();
            rest += written;
            size -= (size_t) written;
        }
    fclose(source);
    return done(libssh2_sftp_close(target));
}

static const char *get(const char *remote, const char *local, int resume)
{
    static char buffer[CHUNK];
    LIBSSH2_SFTP_HANDLE *source = libssh2_sftp_open(sftp, remote, LIBSSH2_FXF_READ, 0);
    if (!source)
        return reason();
    FILE *target = fopen(local, resume ? "ab" : "wb");
    require(target != NULL, local);
    if (resume) {
        fseek(target, 0, SEEK_END);
        libssh2_sftp_seek64(source, (libssh2_uint64_t) ftell(target));
    }
    ssize_t size;
    while ((size = libssh2_sftp_read(source, buffer, sizeof buffer)) > 0)
        fwrite(buffer, 1, (size_t) size, target);
    fclose(target);
    if (size < 0)
        return reason();
    return done(libssh2_sftp_close(source));
}

static const char *names(const char *remote)
{
    char name[1024];
    LIBSSH2_SFTP_HANDLE *directory = libssh2_sftp_opendir(sftp, remote);
    if (!directory)
        return reason();
    printf("ok");
    LIBSSH2_SFTP_ATTRIBUTES found;
    int length;
    while ((length = libssh2_sftp_readdir(directory, name, sizeof name - 1, &found)) > 0) {
        name[length] = 0;
        tell(name);
    }
    libssh2_sftp_closedir(directory);
    return NULL;
}

static const char *operate(const char *name, char **words)
{
    LIBSSH2_SFTP_ATTRIBUTES known = {0};
    if (!strcmp(name, "about")) {
        printf("ok");
        tell("libssh2 " LIBSSH2_VERSION);
        return NULL;
    }
    if (!strcmp(name, "put") || !strcmp(name, "resume_put"))
        return put(words[0], words[1], *name == 'r');
    if (!strcmp(name, "get") || !strcmp(name, "resume_get"))
        return get(words[0], words[1], *name == 'r');
    if (!strcmp(name, "names"))
        return names(words[0]);
    if (!strcmp(name, "rename"))
        return done(libssh2_sftp_rename(sftp, words[0], words[1]));
    if (!strcmp(name, "mkdir"))
        return done(libssh2_sftp_mkdir(sftp, words[0], 0755));
    if (!strcmp(name, "rmdir"))
        return done(libssh2_sftp_rmdir(sftp, words[0]));
    if (!strcmp(name, "remove"))
        return done(libssh2_sftp_unlink(sftp, words[0]));
    if (!strcmp(name, "chmod")) {
        known.flags = LIBSSH2_SFTP_ATTR_PERMISSIONS;
        known.permissions = strtoul(words[1], NULL, 10);
        return done(libssh2_sftp_setstat(sftp, words[0], &known));
    }
    if (!strcmp(name, "utime")) {
        known.flags = LIBSSH2_SFTP_ATTR_ACMODTIME;
        known.atime = known.mtime = strtoul(words[1], NULL, 10);
        return done(libssh2_sftp_setstat(sftp, words[0], &known));
    }
    if (!strcmp(name, "stat")) {
        if (libssh2_sftp_stat(sftp, words[0], &known))
            return reason();
        printf("ok");
        tell_number(known.filesize);
        tell_number(known.permissions);
        tell_number(known.mtime);
        return NULL;
    }
    return "no such operation";
}

static void connect_to_server(void)
{
    int connection = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in where = {.sin_family = AF_INET, .sin_port = htons(atoi(getenv("SFTP_PORT")))};
    inet_pton(AF_INET, getenv("SFTP_HOST"), &where.sin_addr);
    require(connect(connection, (struct sockaddr *) &where, sizeof where) == 0, "no connection");
    session = libssh2_session_init();
    require(libssh2_session_handshake(session, connection) == 0, "no handshake");
    LIBSSH2_KNOWNHOSTS *known = libssh2_knownhost_init(session);
    libssh2_knownhost_readfile(known, getenv("SFTP_KNOWN_HOSTS"), LIBSSH2_KNOWNHOST_FILE_OPENSSH);
    size_t length;
    int kind;
    const char *key = libssh2_session_hostkey(session, &length, &kind);
    int types = LIBSSH2_KNOWNHOST_TYPE_PLAIN | LIBSSH2_KNOWNHOST_KEYENC_RAW;
    require(libssh2_knownhost_checkp(known, getenv("SFTP_HOST"), atoi(getenv("SFTP_PORT")), key, length, types,
                                     NULL) == LIBSSH2_KNOWNHOST_CHECK_MATCH, "another host key");
    libssh2_knownhost_free(known);
    require(libssh2_userauth_publickey_fromfile(session, getenv("SFTP_USER"), NULL, getenv("SFTP_KEY"), NULL) == 0,
            "no login");
    sftp = libssh2_sftp_init(session);
    require(sftp != NULL, "no SFTP");
}

int main(void)
{
    require(libssh2_init(0) == 0, "no libssh2");
    connect_to_server();
    serve();
    libssh2_sftp_shutdown(sftp);
    libssh2_session_disconnect(session, "done");
    libssh2_session_free(session);
    return 0;
}
