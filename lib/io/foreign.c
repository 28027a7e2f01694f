/*
 * A table of signatures, and three kinds that need a closer look: zip archives, ONNX and text.
 */
#include "io/foreign.h"

#include <stdbool.h>
#include <string.h>

#include "base/utf8.h"

// Where it stands and what it is. The more special of two that both fit comes first.
typedef struct signature {
    const char *kind;
    size_t place, size;
    const char *bytes;
} signature;

#define BYTES(text) sizeof text - 1, text

static const signature signatures[] = {
    {"a PyTorch file (pickle)", 0, BYTES("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46")},
    {"a Python pickle", 0, BYTES("\x80\x02")},
    {"a Python pickle", 0, BYTES("\x80\x03")},
    {"a Python pickle", 0, BYTES("\x80\x04\x95")},
    {"a Python pickle", 0, BYTES("\x80\x05\x95")},
    {"a Git LFS pointer, not the file it stands for (git lfs pull fetches that)", 0,
     BYTES("version https://git-lfs")},
    {"a NumPy array (.npy)", 0, BYTES("\x93NUMPY")},
    {"a GGUF file", 0, BYTES("GGUF")},
    {"a GGML file", 0, BYTES("lmgg")},
    {"a GGML file", 0, BYTES("tjgg")},
    {"an HDF5 file", 0, BYTES("\x89HDF\r\n\x1a\n")},
    {"a TensorFlow Lite file", 4, BYTES("TFL3")},
    {"a gzip file", 0, BYTES("\x1f\x8b\x08")},
    {"a zstd file", 0, BYTES("\x28\xb5\x2f\xfd")},
    {"an xz file", 0, BYTES("\xfd\x37zXZ")},
    {"a bzip2 file", 0, BYTES("BZh")},
    {"a 7-Zip archive", 0, BYTES("7z\xbc\xaf\x27\x1c")},
    {"a tar archive", 257, BYTES("ustar")},
    {"a PNG picture", 0, BYTES("\x89PNG\r\n\x1a\n")},
    {"a JPEG picture", 0, BYTES("\xff\xd8\xff")},
    {"a PDF document", 0, BYTES("%PDF-")},
    {"a program or library (ELF)", 0,
     BYTES("\x7f"
           "ELF")},
    {"a Parquet file", 0, BYTES("PAR1")},
    {"a SQLite database", 0, BYTES("SQLite format 3")},
    {"a MATLAB file", 0, BYTES("MATLAB ")},
};

static bool has(const unsigned char *head, size_t size, const signature *s)
{
    return size >= s->place + s->size && memcmp(head + s->place, s->bytes, s->size) == 0;
}

static bool ends_with(const char *name, size_t length, const char *end)
{
    const size_t size = strlen(end);
    return length >= size && memcmp(name + length - size, end, size) == 0;
}

// The name of an archive's first member tells whose it is.
static const char *zip_kind(const unsigned char *head, size_t size)
{
    enum { NAME_LENGTH = 26, NAME = 30 };
    if (size < 4 || memcmp(head, "PK\x03\x04", 4) != 0)
        return NULL;
    const char *name = (const char *)head + NAME;
    const size_t claimed = size > NAME ? head[NAME_LENGTH] | (size_t)head[NAME_LENGTH + 1] << 8 : 0;
    const size_t length = size <= NAME ? 0 : claimed < size - NAME ? claimed : size - NAME;
    if (ends_with(name, length, "/data.pkl") || ends_with(name, length, "/.format_version") ||
        ends_with(name, length, "/.data/serialization_id"))
        return "a PyTorch file (zip archive)";
    if (ends_with(name, length, ".npy"))
        return "a NumPy archive (.npz)";
    return "a zip archive, as torch.save and numpy.savez write them";
}

// Field 1, the version, is a small number; field 2, the producer, a short string.
static bool is_onnx(const unsigned char *head, size_t size)
{
    return size >= 5 && head[0] == 0x08 && head[1] >= 1 && head[1] <= 32 && head[2] == 0x12 &&
           head[3] > 0 && head[3] < 64 && head[4] >= 0x20 && head[4] < 0x7F;
}

static bool is_white(unsigned char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

// UTF-8 without control characters; the last character may be cut.
static bool is_text(const unsigned char *head, size_t size)
{
    for (size_t i = 0; i < size;) {
        const size_t length = jemi_utf8_length((const char *)head + i, size - i);
        if (length == 0)
            return i > 0 && size - i < 4 && head[i] >= 0xC2;
        if ((head[i] < 0x20 && !is_white(head[i])) || head[i] == 0x7F)
            return false;
        i += length;
    }
    return size > 0;
}

// Letters of either case; `lower` is in small ones.
static bool begins(const unsigned char *text, size_t size, const char *lower)
{
    for (size_t i = 0; lower[i] != '\0'; i++) {
        const unsigned char c = i < size ? text[i] : '\0';
        if ((c >= 'A' && c <= 'Z' ? c + 32 : c) != lower[i])
            return false;
    }
    return true;
}

static const char *text_kind(const unsigned char *head, size_t size)
{
    if (!is_text(head, size))
        return NULL;
    size_t first = size >= 3 && memcmp(head, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    while (first < size && is_white(head[first]))
        first++;
    const unsigned char *text = head + first;
    if (begins(text, size - first, "<!doctyp") || begins(text, size - first, "<html"))
        return "an HTML page, as servers send in place of a file";
    if (first < size && (*text == '{' || *text == '['))
        return "a JSON text";
    return "a text file";
}

const char *jemi_foreign_kind(const void *head, size_t size)
{
    for (size_t i = 0; i < sizeof signatures / sizeof signatures[0]; i++)
        if (has(head, size, &signatures[i]))
            return signatures[i].kind;
    const char *zip = zip_kind(head, size);
    if (zip != NULL)
        return zip;
    return is_onnx(head, size) ? "an ONNX model" : text_kind(head, size);
}
