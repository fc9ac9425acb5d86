/* CUDA's runtime API with scripted answers, preloaded before the real libcudart.so.13.
 *
 * Device memory is host memory, and kernels do nothing. The file named by FAKE_CUDA holds lines
 * "NAME DEVICE VALUE", the first that fits counts, and DEVICE is the GPU's number on the host or *
 * for any:
 *
 *   count * 4                    GPUs of the host
 *   name 2 NVIDIA L4
 *   capability * 8.9
 *   memory * 24564 24000         MiB in all, and free ones
 *   integrated * 1               the GPU's memory is the host's
 *   peers * 8                    GPUs that one GPU can be joined to at a time; none without it
 *   driver * 13000               the driver's CUDA version
 *   cudaLaunchKernel 2 719       the call fails with this cudaError_t, on this GPU
 *   cudaMalloc * 2 after 3       from its fourth time on
 *   cudaMemcpyAsync * hang       for ever
 *   cudaMalloc * signal 11       ends the process, as exit 3 does
 *
 * An error of the GPU stays, as CUDA's manual says of cudaErrorIllegalAddress and its like.
 * Signatures and structures are those of NVIDIA's public headers, which the wheels bring.
 */
#define _GNU_SOURCE
#define __dv(value)
#include <cuda_runtime_api.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MOST_LINES 64
#define MOST_GPUS 32
#define MIB ((size_t)1 << 20)

static struct line { char name[48], device[8], value[64]; int calls; } lines[MOST_LINES];
static int line_count = -1, visible[MOST_GPUS], visible_count, joined[MOST_GPUS];
static __thread int current;
static __thread cudaError_t last;
static cudaError_t sticky;

static struct line *find(const char *name, int device)
{
    for (int i = 0; i < line_count; i++)
        if (!strcmp(lines[i].name, name) && (*lines[i].device == '*' || atoi(lines[i].device) == device))
            return &lines[i];
    return NULL;
}
static const char *text(const char *name, int device, const char *otherwise)
{
    struct line *line = find(name, device);
    return line ? line->value : otherwise;
}

/* UUIDs end in the GPU's number, as tests/rig/cuda/__init__.py tells NVML's fake. */
static void uuid_of(int device, unsigned char *uuid)
{
    static const unsigned char base[16] = {0x6a, 0x35, 0xe6, 0xf5, 0, 0, 0x40, 0, 0x80};
    memcpy(uuid, base, 16);
    uuid[15] = (unsigned char)device;
}
static int number_of(const char *word, int count)
{
    int found = -1;
    if (strncmp(word, "GPU-", 4))
        found = atoi(word);
    else if (strlen(word) == 40)
        found = (int)strtol(word + 38, NULL, 16);
    return found < count ? found : -1;
}
static void see(int count)
{
    const char *given = getenv("CUDA_VISIBLE_DEVICES");
    if (!given) {
        for (; visible_count < count; visible_count++)
            visible[visible_count] = visible_count;
        return;
    }
    char words[2048];
    snprintf(words, sizeof words, "%s", given);
    for (char *word = strtok(words, ","); word; word = strtok(NULL, ",")) {
        int number = number_of(word, count);
        if (number < 0 || visible_count == MOST_GPUS)
            break;
        visible[visible_count++] = number;
    }
}
static void read_script(void)
{
    if (line_count >= 0)
        return;
    line_count = 0;
    char row[160];
    FILE *script = fopen(getenv("FAKE_CUDA") ?: "", "r");
    while (script && line_count < MOST_LINES && fgets(row, sizeof row, script)) {
        struct line *line = &lines[line_count];
        if (sscanf(row, "%47s %7s %63[^\n]", line->name, line->device, line->value) == 3)
            line_count++;
    }
    if (script)
        fclose(script);
    see(atoi(text("count", 0, "1")));
}

static int gpu(int local) { return local >= 0 && local < visible_count ? visible[local] : 0; }
static cudaError_t say(cudaError_t error)
{
    if (error)
        last = error;
    return error;
}
static int stays(int code) { return code == 214 || code == 220 || code == 226 || (code >= 700 && code < 720 && code != 711); }
static cudaError_t called(const char *name)
{
    read_script();
    if (sticky)
        return say(sticky);
    struct line *line = find(name, gpu(current));
    if (!line)
        return 0;
    const char *after = strstr(line->value, "after ");
    if (after && line->calls++ < atoi(after + 6))
        return 0;
    while (!strncmp(line->value, "hang", 4))
        pause();
    if (!strncmp(line->value, "signal ", 7))
        raise(atoi(line->value + 7));
    if (!strncmp(line->value, "exit ", 5))
        _exit(atoi(line->value + 5));
    int code = atoi(line->value);
    if (stays(code))
        sticky = code;
    return say(code);
}
#define CALL cudaError_t error = called(__func__); if (error) return error
#define DONE { CALL; return 0; }

/* Devices. */
cudaError_t cudaDriverGetVersion(int *version) { CALL; *version = atoi(text("driver", 0, "13000")); return 0; }
cudaError_t cudaRuntimeGetVersion(int *version) { CALL; *version = 13000; return 0; }
cudaError_t cudaGetDeviceCount(int *count) { CALL; *count = visible_count; return visible_count ? 0 : say(cudaErrorNoDevice); }
cudaError_t cudaGetDevice(int *device) { CALL; *device = current; return 0; }
cudaError_t cudaSetDevice(int device)
{
    read_script();
    if (device < 0 || device >= visible_count)
        return say(cudaErrorInvalidDevice);
    int before = current;
    current = device;
    cudaError_t error = called(__func__);
    if (error)
        current = before;
    return error;
}
static void capability(int device, int *major, int *minor) { sscanf(text("capability", gpu(device), "8.9"), "%d.%d", major, minor); }
static void memory(size_t *total, size_t *available) { sscanf(text("memory", gpu(current), "24564 24000"), "%zu %zu", total, available); *total *= MIB; *available *= MIB; }
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *out, int device)
{
    CALL;
    if (device >= visible_count)
        return say(cudaErrorInvalidDevice);
    memset(out, 0, sizeof *out);
    snprintf(out->name, sizeof out->name, "%s", text("name", gpu(device), "NVIDIA L4"));
    uuid_of(gpu(device), (unsigned char *)&out->uuid);
    capability(device, &out->major, &out->minor);
    size_t total, available;
    sscanf(text("memory", gpu(device), "24564 24000"), "%zu %zu", &total, &available);
    out->totalGlobalMem = total * MIB;
    out->integrated = atoi(text("integrated", gpu(device), "0"));
    out->multiProcessorCount = 60;
    out->warpSize = 32;
    out->maxThreadsPerBlock = out->maxThreadsDim[0] = out->maxThreadsDim[1] = 1024;
    out->maxThreadsDim[2] = 64;
    out->maxThreadsPerMultiProcessor = 1536;
    out->maxGridSize[0] = 2147483647;
    out->maxGridSize[1] = out->maxGridSize[2] = 65535;
    out->sharedMemPerBlock = 49152;
    out->sharedMemPerBlockOptin = 101376;
    out->sharedMemPerMultiprocessor = 102400;
    out->regsPerBlock = out->regsPerMultiprocessor = 65536;
    out->maxBlocksPerMultiProcessor = 24;
    out->unifiedAddressing = 1;
    out->pciBusID = gpu(device) + 1;
    return 0;
}
cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device)
{
    CALL;
    int major = 0, minor = 0;
    capability(device, &major, &minor);
    switch (attribute) {
    case cudaDevAttrComputeCapabilityMajor: *value = major; break;
    case cudaDevAttrComputeCapabilityMinor: *value = minor; break;
    case cudaDevAttrMultiProcessorCount: *value = 60; break;
    case cudaDevAttrMaxThreadsPerBlock: *value = 1024; break;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *value = 1536; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = 49152; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = 101376; break;
    case cudaDevAttrWarpSize: *value = 32; break;
    default: *value = 0;
    }
    return 0;
}
cudaError_t cudaDeviceGetPCIBusId(char *out, int length, int device) { CALL; snprintf(out, length, "0000:%02x:00.0", gpu(device) + 1); return 0; }
cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest) { CALL; *least = 0; *greatest = -5; return 0; }
cudaError_t cudaDeviceSynchronize(void) DONE
cudaError_t cudaDeviceCanAccessPeer(int *can, int device, int peer) { CALL; (void)device, (void)peer; *can = find("peers", gpu(device)) != NULL; return 0; }
cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned flags)
{
    CALL;
    (void)peer, (void)flags;
    return ++joined[current] > atoi(text("peers", gpu(current), "8")) ? say(cudaErrorTooManyPeers) : 0;
}

/* Memory. */
cudaError_t cudaMemGetInfo(size_t *available, size_t *total) { CALL; memory(total, available); return 0; }
cudaError_t cudaMalloc(void **out, size_t size)
{
    CALL;
    size_t total, available;
    memory(&total, &available);
    void *made = size > available ? MAP_FAILED : mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    *out = made;
    return made == MAP_FAILED ? say(cudaErrorMemoryAllocation) : 0;
}
cudaError_t cudaFree(void *block) { CALL; (void)block; return 0; }
cudaError_t cudaHostAlloc(void **out, size_t size, unsigned flags) { CALL; (void)flags; *out = malloc(size); return 0; }
cudaError_t cudaFreeHost(void *block) { CALL; free(block); return 0; }
cudaError_t cudaHostRegister(void *block, size_t size, unsigned flags) { CALL; (void)block, (void)size, (void)flags; return 0; }
cudaError_t cudaHostUnregister(void *block) { CALL; (void)block; return 0; }
cudaError_t cudaMemcpy(void *to, const void *from, size_t size, enum cudaMemcpyKind kind) { CALL; (void)kind; memcpy(to, from, size); return 0; }
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t size, enum cudaMemcpyKind kind, cudaStream_t stream) { CALL; (void)kind, (void)stream; memcpy(to, from, size); return 0; }
cudaError_t cudaMemcpyPeerAsync(void *to, int there, const void *from, int here, size_t size, cudaStream_t stream) { CALL; (void)there, (void)here, (void)stream; memcpy(to, from, size); return 0; }
cudaError_t cudaMemset(void *block, int value, size_t size) { CALL; memset(block, value, size); return 0; }
cudaError_t cudaMemsetAsync(void *block, int value, size_t size, cudaStream_t stream) { CALL; (void)stream; memset(block, value, size); return 0; }
cudaError_t cudaMemcpyToSymbol(const void *symbol, const void *from, size_t size, size_t offset, enum cudaMemcpyKind kind) { CALL; (void)symbol, (void)from, (void)size, (void)offset, (void)kind; return 0; }
cudaError_t cudaGetSymbolAddress(void **out, const void *symbol) { CALL; (void)symbol; static char room[1 << 20]; *out = room; return 0; }
cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *out, const void *block) { CALL; (void)block; memset(out, 0, sizeof *out); return 0; }

/* Streams and events: handles that nothing looks behind. */
static void *handle(void) { static size_t made = 0x1000; return (void *)(made += 16); }
cudaError_t cudaStreamCreate(cudaStream_t *out) { CALL; *out = handle(); return 0; }
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags) { CALL; (void)flags; *out = handle(); return 0; }
cudaError_t cudaStreamCreateWithPriority(cudaStream_t *out, unsigned flags, int priority) { CALL; (void)flags, (void)priority; *out = handle(); return 0; }
cudaError_t cudaStreamDestroy(cudaStream_t stream) { CALL; (void)stream; return 0; }
cudaError_t cudaStreamQuery(cudaStream_t stream) { CALL; (void)stream; return 0; }
cudaError_t cudaStreamSynchronize(cudaStream_t stream) { CALL; (void)stream; return 0; }
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags) { CALL; (void)stream, (void)event, (void)flags; return 0; }
cudaError_t cudaStreamGetPriority(cudaStream_t stream, int *priority) { CALL; (void)stream; *priority = 0; return 0; }
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *status) { CALL; (void)stream; *status = cudaStreamCaptureStatusNone; return 0; }
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t stream, enum cudaStreamCaptureStatus *status, unsigned long long *id, cudaGraph_t *graph, const cudaGraphNode_t **nodes, const cudaGraphEdgeData **edges, size_t *count)
{
    CALL;
    (void)stream, (void)graph, (void)nodes, (void)edges;
    *status = cudaStreamCaptureStatusNone;
    if (id)
        *id = 0;
    if (count)
        *count = 0;
    return 0;
}
cudaError_t cudaThreadExchangeStreamCaptureMode(enum cudaStreamCaptureMode *mode) { CALL; (void)mode; return 0; }
cudaError_t cudaEventCreate(cudaEvent_t *out) { CALL; *out = handle(); return 0; }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags) { CALL; (void)flags; *out = handle(); return 0; }
cudaError_t cudaEventDestroy(cudaEvent_t event) { CALL; (void)event; return 0; }
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) { CALL; (void)event, (void)stream; return 0; }
cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags) { CALL; (void)event, (void)stream, (void)flags; return 0; }
cudaError_t cudaEventQuery(cudaEvent_t event) { CALL; (void)event; return 0; }
cudaError_t cudaEventSynchronize(cudaEvent_t event) { CALL; (void)event; return 0; }
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end) { CALL; (void)start, (void)end; *ms = 1; return 0; }

/* Kernels: launched, and nothing more. The two calls with underscores are what nvcc compiles to. */
cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *out, const void *function)
{
    CALL;
    (void)function;
    memset(out, 0, sizeof *out);
    out->maxThreadsPerBlock = 1024;
    out->binaryVersion = out->ptxVersion = 89;
    out->numRegs = 32;
    return 0;
}
cudaError_t cudaFuncSetAttribute(const void *function, enum cudaFuncAttribute attribute, int value) { CALL; (void)function, (void)attribute, (void)value; return 0; }
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, const void *function, int size, size_t shared) { CALL; (void)function, (void)size, (void)shared; *blocks = 2; return 0; }
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, const void *function, int size, size_t shared, unsigned flags) { CALL; (void)function, (void)size, (void)shared, (void)flags; *blocks = 2; return 0; }
cudaError_t cudaLaunchKernel(const void *function, dim3 grid, dim3 block, void **arguments, size_t shared, cudaStream_t stream) { CALL; (void)function, (void)grid, (void)block, (void)arguments, (void)shared, (void)stream; return 0; }
cudaError_t cudaLaunchCooperativeKernel(const void *function, dim3 grid, dim3 block, void **arguments, size_t shared, cudaStream_t stream) { CALL; (void)function, (void)grid, (void)block, (void)arguments, (void)shared, (void)stream; return 0; }
cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *config, const void *function, void **arguments) { CALL; (void)config, (void)function, (void)arguments; return 0; }
cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void **arguments, size_t shared, cudaStream_t stream) { (void)kernel, (void)grid, (void)block, (void)arguments, (void)shared, (void)stream; return called("cudaLaunchKernel"); }
cudaError_t __cudaGetKernel(cudaKernel_t *out, const void *function) { (void)function; *out = handle(); return 0; }
static __thread struct { dim3 grid, block; size_t shared; void *stream; } launch;
unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, struct CUstream_st *stream)
{
    launch.grid = grid;
    launch.block = block;
    launch.shared = shared;
    launch.stream = stream;
    return 0;
}
cudaError_t __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *shared, void *stream)
{
    *grid = launch.grid;
    *block = launch.block;
    *shared = launch.shared;
    *(void **)stream = launch.stream;
    return 0;
}

/* Errors. */
cudaError_t cudaGetLastError(void) { cudaError_t error = sticky ? sticky : last; last = 0; return error; }
cudaError_t cudaPeekAtLastError(void) { return sticky ? sticky : last; }

/* The driver's own functions: each of them is there, and does nothing. */
static int not_supported(void) { return cudaErrorNotSupported; }
cudaError_t cudaGetDriverEntryPointByVersion(const char *symbol, void **out, unsigned version, unsigned long long flags, enum cudaDriverEntryPointQueryResult *result)
{
    CALL;
    (void)symbol, (void)version, (void)flags;
    *out = (void *)not_supported;
    if (result)
        *result = cudaDriverEntryPointSuccess;
    return 0;
}
