/*
 * How zlib is used: gzopen() reads plain files as they are. Deflate cannot expand by more than a
 * factor of 1032, which bounds what a file's header may ask us to allocate.
 */
#include "source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/file_read.h"
#include "named_files.h"

enum { DEFLATE_RATIO_MAX = 1032, CHUNK = 1 << 24 };

static bool begins_like_gzip(int fd)
{
    unsigned char lead[2];
    return pread(fd, lead, 2, lseek(fd, 0, SEEK_CUR)) == 2 && lead[0] == 0x1f && lead[1] == 0x8b;
}

static cli_status check_kind(const jemi_source *opened, cli_error *err)
{
    if (opened->kind == JEMI_SOURCE_PIPE)
        return CLI_OK;
    if (opened->kind == JEMI_SOURCE_FILE)
        return cli_files_opened(opened->fd, opened->path, err);
    return cli_fail(
        err, "%s is not a regular file%s", opened->path,
        opened->kind == JEMI_SOURCE_NAMED_PIPE ? "; expected one, or standard input as -" : "");
}

cli_status cli_source_open(cli_source *source, const char *path, cli_error *err)
{
    jemi_source opened;
    if (jemi_source_look(&opened, path) != 0)
        return cli_fail(err, "%s cannot be read: %s", path, strerror(errno));
    const cli_status status = check_kind(&opened, err);
    if (status != CLI_OK) {
        jemi_source_close(&opened);
        return status;
    }
    const int fd = opened.fd; // zlib's from here on
    *source = (cli_source){.path = path, .bytes_max = (int64_t)opened.size};
    source->packed = begins_like_gzip(fd);
    if (source->packed)
        source->bytes_max = source->bytes_max > INT64_MAX / DEFLATE_RATIO_MAX
                                ? INT64_MAX
                                : source->bytes_max * DEFLATE_RATIO_MAX;
    source->file = gzdopen(fd, "rb");
    if (source->file == NULL) {
        close(fd);
        return cli_fail(err, "out of memory while opening %s", path);
    }
    gzbuffer(source->file, 1 << 17);
    return CLI_OK;
}

void cli_source_close(cli_source *source)
{
    gzclose(source->file);
    source->file = NULL;
}

// Why gzread() gave less than it was asked for.
static cli_status explain_shortage(const cli_source *source, int64_t missing, cli_error *err)
{
    int code;
    const char *text = gzerror(source->file, &code);
    if (code == Z_OK || code == Z_BUF_ERROR || code == Z_STREAM_END)
        return cli_fail(err, "%s is truncated: at least %lld more bytes were expected after %lld",
                        source->path, (long long)missing, (long long)source->bytes_read);
    if (code == Z_ERRNO)
        return cli_fail(err, "%s cannot be read: %s", source->path, strerror(errno));
    const char *fault = strstr(text, ">: "); // behind the name that zlib gives a descriptor
    return cli_fail(err, "%s is damaged: not a valid gzip file (%s)", source->path,
                    fault != NULL ? fault + 3 : text);
}

cli_status cli_source_read(cli_source *source, void *out, int64_t size, cli_error *err)
{
    char *to = out;
    while (size > 0) {
        const int wanted = size < CHUNK ? (int)size : CHUNK;
        const int got = gzread(source->file, to, (unsigned)wanted);
        if (got <= 0)
            return explain_shortage(source, size, err);
        source->bytes_read += got;
        to += got;
        size -= got;
    }
    return CLI_OK;
}

cli_status cli_source_read_some(cli_source *source, void *out, int64_t size, int64_t *got,
                                cli_error *err)
{
    int64_t read = 0;
    int now = 1;
    while (read < size && now > 0) {
        const int64_t left = size - read;
        now = gzread(source->file, (char *)out + read, (unsigned)(left < CHUNK ? left : CHUNK));
        read += now > 0 ? now : 0;
    }
    source->bytes_read += read;
    *got = read;
    int code;
    gzerror(source->file, &code);
    return now < 0 || code != Z_OK ? explain_shortage(source, 1, err) : CLI_OK;
}

cli_status cli_source_expect(const cli_source *source, int64_t size, cli_error *err)
{
    const int64_t left = source->bytes_max - source->bytes_read;
    if (size <= left)
        return CLI_OK;
    if (source->packed)
        return cli_fail(err,
                        "%s is truncated: %lld bytes are expected after its header, more than a "
                        "gzip file of its size can hold",
                        source->path, (long long)size);
    return cli_fail(err,
                    "%s is truncated: %lld bytes are expected after its header, but %lld follow",
                    source->path, (long long)size, (long long)(left > 0 ? left : 0));
}

cli_status cli_source_end(cli_source *source, cli_error *err)
{
    char more;
    const int got = gzread(source->file, &more, 1);
    if (got > 0)
        return cli_fail(err, "%s is damaged: bytes follow after the %lld that its header promises",
                        source->path, (long long)source->bytes_read);
    int code;
    gzerror(source->file, &code);
    return got < 0 || code != Z_OK ? explain_shortage(source, 1, err) : CLI_OK;
}

cli_status cli_source_drain(cli_source *source, cli_error *err)
{
    char some[4096];
    int64_t got;
    do
        CLI_TRY(cli_source_read_some(source, some, sizeof some, &got, err));
    while (got > 0);
    return CLI_OK;
}

// A plain file is read in one piece; one that is packed grows by doubling.
static cli_status read_all(cli_source *source, uint8_t **content, int64_t *size, cli_error *err)
{
    int64_t capacity = source->packed ? 1 << 20 : source->bytes_max + 1;
    int64_t got;
    CLI_TRY(cli_alloc(content, capacity, 1, err));
    CLI_TRY(cli_source_read_some(source, *content, capacity, &got, err));
    for (*size = got; *size == capacity; *size += got) {
        uint8_t *larger = capacity < INT64_MAX / 2 ? realloc(*content, 2 * (size_t)capacity) : NULL;
        if (larger == NULL)
            return cli_fail(err, "out of memory: %s was to be held", source->path);
        *content = larger;
        capacity *= 2;
        CLI_TRY(cli_source_read_some(source, larger + *size, capacity - *size, &got, err));
    }
    return CLI_OK;
}

cli_status cli_source_read_file(const char *path, uint8_t **content, int64_t *size, cli_error *err)
{
    cli_source source;
    *content = NULL;
    *size = 0;
    CLI_TRY(cli_source_open(&source, path, err));
    const cli_status status = read_all(&source, content, size, err);
    cli_source_close(&source);
    if (status != CLI_OK) {
        free(*content);
        *content = NULL;
    }
    return status;
}
