/** Who sends one bad credential after the other has to wait between them: connections of an address are bounded, and so are these. */
import type { ErrorCode } from '../../core/errors.ts'
import type { Caller } from './caller.ts'

const BAD: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'unroutable',
  'credential_invalid',
  'credential_expired',
  'credential_ambiguous',
  'tenant_mismatch',
  'svid_invalid',
  'svid_untrusted',
  'source_credentials',
])

/** Where a call that is refused with `code` is one too many of its address, its connection has to do without others for a while. */
export function penalizeFor(caller: Caller, code: ErrorCode): void {
  const { context, downstream } = caller
  const { source, listener } = downstream
  if (source === undefined || !BAD.has(code)) return
  if (!source.badCredential(context.clock.monotonic())) return
  if (code !== 'source_credentials') context.stats.rejected('source_credentials', listener.index)
  caller.penalize()
}
