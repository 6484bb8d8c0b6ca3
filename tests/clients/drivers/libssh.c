/* The operations of clients_driven.py by libssh. */

#include <fcntl.h>
#include <libssh/libssh.h>
#include <libssh/sftp.h>
#include <sys/time.h>

#include "driver.h"

#define CHUNK 32768

static ssh_session session;
static sftp_session sftp;

static const char *reason(void)
{
    static char text[256];
    snprintf(text, sizeof text, "%s (status %d)", ssh_get_error(session), sftp_get_error(sftp));
    return text;
}

static const char *done(int code)
{
    if (code != 0)
        return reason();
    printf("ok");
    return NULL;
}

static const char *put(const char *local, const char *remote, int resume)
{
    static char buffer[CHUNK];
    sftp_file target = sftp_open(sftp, remote, O_WRONLY | O_CREAT | (resume ? 0 : O_TRUNC), 0644);
    if (!target)
        return reason();
    FILE *source = fopen(local, "rb");
    require(source != NULL, local);
    if (resume) {
        sftp_attributes found = sftp_fstat(target);
        if (!found)
            return reason();
        fseek(source, (long) found->size, SEEK_SET);
        sftp_seek64(target, found->size);
        sftp_attributes_free(found);
    }
    size_t size;
    while ((size = fread(buffer, 1, sizeof buffer, source)) > 0)
        if (sftp_write(target, buffer, size) != (ssize_t) size)
            return reason();
    fclose(source);
    return done(sftp_close(target));
}

static const char *get(const char *remote, const char *local, int resume)
{
    static char buffer[CHUNK];
    sftp_file source = sftp_open(sftp, remote, O_RDONLY, 0);
    if (!source)
        return reason();
    FILE *target = fopen(local, resume ? "ab" : "wb");
    require(target != NULL, local);
    if (resume) {
        fseek(target, 0, SEEK_END);
        sftp_seek64(source, (uint64_t) ftell(target));
    }
    ssize_t size;
    while ((size = sftp_read(source, buffer, sizeof buffer)) > 0)
        fwrite(buffer, 1, (size_t) size, target);
    fclose(target);
    if (size < 0)
        return reason();
    return done(sftp_close(source));
}

static const char *names(const char *remote)
{
    sftp_dir directory = sftp_opendir(sftp, remote);
    if (!directory)
        return reason();
    printf("ok");
    sftp_attributes found;
    while ((found = sftp_readdir(sftp, directory))) {
        tell(found->name);
        sftp_attributes_free(found);
    }
    sftp_closedir(directory);
    return NULL;
}

static const char *show(const char *remote)
{
    sftp_attributes found = sftp_stat(sftp, remote);
    if (!found)
        return reason();
    printf("ok");
    tell_number(found->size);
    tell_number(found->permissions);
    tell_number(found->mtime);
    sftp_attributes_free(found);
    return NULL;
}

static const char *operate(const char *name, char **words)
{
    if (!strcmp(name, "about")) {
        printf("ok");
        tell("libssh");
        tell(ssh_version(0));
        return NULL;
    }
    if (!strcmp(name, "put") || !strcmp(name, "resume_put"))
        return put(words[0], words[1], *name == 'r');
    if (!strcmp(name, "get") || !strcmp(name, "resume_get"))
        return get(words[0], words[1], *name == 'r');
    if (!strcmp(name, "names"))
        return names(words[0]);
    if (!strcmp(name, "rename"))
        return done(sftp_rename(sftp, words[0], words[1]));
    if (!strcmp(name, "mkdir"))
        return done(sftp_mkdir(sftp, words[0], 0755));
    if (!strcmp(name, "rmdir"))
        return done(sftp_rmdir(sftp, words[0]));
    if (!strcmp(name, "remove"))
        return done(sftp_unlink(sftp, words[0]));
    if (!strcmp(name, "chmod"))
        return done(sftp_chmod(sftp, words[0], (mode_t) strtoul(words[1], NULL, 10)));
    if (!strcmp(name, "utime")) {
        struct timeval moment = {.tv_sec = strtol(words[1], NULL, 10)};
        struct timeval times[2] = {moment, moment};
        return done(sftp_utimes(sftp, words[0], times));
    }
    if (!strcmp(name, "stat"))
        return show(words[0]);
    return "no such operation";
}

static void connect_to_server(void)
{
    session = ssh_new();
    ssh_options_set(session, SSH_OPTIONS_HOST, getenv("SFTP_HOST"));
    ssh_options_set(session, SSH_OPTIONS_PORT_STR, getenv("SFTP_PORT"));
    ssh_options_set(session, SSH_OPTIONS_USER, getenv("SFTP_USER"));
    ssh_options_set(session, SSH_OPTIONS_KNOWNHOSTS, getenv("SFTP_KNOWN_HOSTS"));
    int own_only = 0;
    ssh_options_set(session, SSH_OPTIONS_PROCESS_CONFIG, &own_only);
    require(ssh_connect(session) == SSH_OK, ssh_get_error(session));
    require(ssh_session_is_known_server(session) == SSH_KNOWN_HOSTS_OK, "another host key");
    ssh_key key;
    require(ssh_pki_import_privkey_file(getenv("SFTP_KEY"), NULL, NULL, NULL, &key) == SSH_OK, "no key");
    require(ssh_userauth_publickey(session, NULL, key) == SSH_AUTH_SUCCESS, ssh_get_error(session));
    ssh_key_free(key);
    sftp = sftp_new(session);
    require(sftp != NULL && sftp_init(sftp) == SSH_OK, ssh_get_error(session));
}

int main(void)
{
    connect_to_server();
    serve();
    sftp_free(sftp);
    ssh_disconnect(session);
    ssh_free(session);
    return 0;
}
