/**
 * Machines that the mixer sees by their addresses alone: network namespaces, each joined to this one by a pair of virtual
 * interfaces. What is made goes with the test.
 */
import { execFileSync } from 'node:child_process'
import { randomInt } from 'node:crypto'
import type { Test } from 'tap'
import { skipWithout } from '../program.ts'

export interface Network {
  /** This side's address, which the mixer is reached by. */
  readonly here: string
  /** Addresses of the other side; the first is what it calls from by default. */
  readonly there: readonly string[]
  /** What runs a program on the other side. */
  readonly prefix: readonly string[]
}

function ip(...args: string[]): void {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] })
}

/** For the `skip` of tests: why network namespaces cannot be made here, or false. */
export function withoutNetworks(): string | false {
  const missing = skipWithout({ ip: 'iproute2' })
  if (missing !== false) return missing
  const name = `amt-probe-${process.pid}`
  try {
    ip('netns', 'add', name)
    try {
      ip(
        'link',
        'add',
        `amtp${process.pid}`,
        'type',
        'veth',
        'peer',
        'name',
        'peer0',
        'netns',
        name,
      )
      ip('link', 'del', `amtp${process.pid}`)
    } finally {
      ip('netns', 'del', name)
    }
    return false
  } catch (error) {
    const detail = error instanceof Error ? error.message.split('\n').at(1) : String(error)
    return `network namespaces are not allowed here (they need root and CAP_SYS_ADMIN): ${detail}`
  }
}

/** In 198.18.0.0/15, which RFC 2544 keeps for tests of networks. */
export function createNetwork(t: Test, addresses = 1): Network {
  const number = randomInt(1, 60_000)
  const name = `amt-${process.pid}-${number}`
  const outer = `amt${number}`
  const net = `198.${18 + (number & 1)}.${(number >> 1) & 255}`
  const base = 8 * ((number >> 9) & 31)
  ip('netns', 'add', name)
  // The interfaces go with it.
  t.teardown(() => ip('netns', 'del', name))
  ip('link', 'add', outer, 'type', 'veth', 'peer', 'name', 'amt0', 'netns', name)
  ip('addr', 'add', `${net}.${base + 1}/29`, 'dev', outer)
  ip('link', 'set', outer, 'up')
  const there = Array.from({ length: addresses }, (_, index) => `${net}.${base + 2 + index}`)
  for (const address of there) ip('-n', name, 'addr', 'add', `${address}/29`, 'dev', 'amt0')
  ip('-n', name, 'link', 'set', 'amt0', 'up')
  ip('-n', name, 'link', 'set', 'lo', 'up')
  return { here: `${net}.${base + 1}`, there, prefix: ['ip', 'netns', 'exec', name] }
}
