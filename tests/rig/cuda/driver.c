/* A libcuda.so.1 for the scripted runtime: what torch itself asks of the driver, and no more.
 *
 * The CUDA runtimes inside cuBLAS and its kin find no working driver behind it, and say so.
 */
int cuGetProcAddress_v2(const char *symbol, void **out, int version, unsigned long long flags, int *status)
{
    (void)symbol, (void)version, (void)flags;
    *out = 0;
    if (status)
        *status = 1; /* CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND */
    return 500;      /* CUDA_ERROR_NOT_FOUND */
}
int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active)
{
    (void)device;
    *flags = 0;
    *active = 1;
    return 0;
}
int cuCtxGetCurrent(void **context)
{
    static int one;
    *context = &one;
    return 0;
}
