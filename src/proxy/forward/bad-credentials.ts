/** Who sends one bad credential after the other pays for each with a new connection, of which its address has only so many. */
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

/** Where a call that is refused with `code` is one too many of its address, its connection ends behind the answer; whether it does. */
export function sendAwayFor(caller: Caller, code: ErrorCode): boolean {
  const { context, downstream } = caller
  const { source, listener } = downstream
  if (source === undefined || !BAD.has(code)) return false
  if (!source.badCredential(context.clock.monotonic())) return false
  if (code !== 'source_credentials') context.stats.rejected('source_credentials', listener.index)
  caller.sendAway()
  return true
}
