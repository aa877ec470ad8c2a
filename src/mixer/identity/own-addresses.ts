/** The addresses of this machine, as they are at the moment. */
import { networkInterfaces } from 'node:os'
import { canonicalIp, isLoopbackText } from '../../codec/ip-block.ts'
import type { Clock } from '../../core/clock.ts'

const FRESH_MS = 1_000

/** Without loopback; read again when the last reading is a second old. */
export function ownAddresses(clock: Pick<Clock, 'monotonic'>): () => readonly string[] {
  let addresses: readonly string[] = []
  let readAt = Number.NEGATIVE_INFINITY
  return () => {
    const now = clock.monotonic()
    if (now - readAt < FRESH_MS) return addresses
    readAt = now
    addresses = Object.values(networkInterfaces())
      .flatMap(entries => entries ?? [])
      .flatMap(({ address }) => canonicalIp(address) ?? [])
      .filter(address => !isLoopbackText(address))
    return addresses
  }
}
