/*
 * Files for readers that want a path. They lie in memory, so that a million of them cost no disk.
 */
#define _GNU_SOURCE // memfd_create
#include "data_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

fuzz_file fuzz_file_open(const char *name)
{
    fuzz_file file = {.fd = memfd_create(name, MFD_CLOEXEC)};
    MUST(file.fd >= 0);
    snprintf(file.path, sizeof file.path, "/proc/self/fd/%d", file.fd);
    return file;
}

void fuzz_file_fill(const fuzz_file *file, const uint8_t *data, size_t size)
{
    MUST(ftruncate(file->fd, 0) == 0);
    MUST(pwrite(file->fd, data, size, 0) == (ssize_t)size);
}

static char folder[64];

static void remove_folder(void)
{
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;)
        unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir != NULL)
        closedir(dir);
    rmdir(folder);
}

const char *fuzz_folder(void)
{
    if (folder[0] != '\0')
        return folder;
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(folder, sizeof folder, "%s/jem-fuzz-XXXXXX", base);
    MUST(mkdtemp(folder) != NULL);
    atexit(remove_folder);
    return folder;
}

void fuzz_folder_fill(const char *name, const uint8_t *data, size_t size)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", fuzz_folder(), name);
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    MUST(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    close(fd);
}

void fuzz_pack(fuzz_input *input)
{
    static uint8_t packed[FUZZ_SIZE_MAX];
    z_stream stream = {.next_in = input->bytes,
                       .avail_in = (uInt)input->size,
                       .next_out = packed,
                       .avail_out = sizeof packed};
    MUST(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    if (deflate(&stream, Z_FINISH) == Z_STREAM_END) {
        input->size = sizeof packed - stream.avail_out;
        memcpy(input->bytes, packed, input->size);
    }
    deflateEnd(&stream);
}

void fuzz_unwrap(const uint8_t *data, size_t size, fuzz_input *content)
{
    static uint8_t bytes[FUZZ_SIZE_MAX];
    *content = (fuzz_input){bytes, size > 0 ? size - 1 : 0};
    if (content->size > 0)
        memcpy(bytes, data + 1, content->size);
    if (size > 0 && data[0] % 2 == 1)
        fuzz_pack(content);
}
