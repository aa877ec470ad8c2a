import { Buffer } from 'node:buffer'
import { isIPv4 } from 'node:net'

/** An IP address as its 4 or 16 bytes in network order. `address` must be one (`node:net` `isIP`). */
export function addressBytes(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split('.').map(Number))
  // `URL` writes the one canonical form: no IPv4 tail, at most one "::".
  const canonical = new URL(`http://[${address}]`).hostname.slice(1, -1)
  const [head = '', tail] = canonical.split('::')
  const first = groups(head)
  const last = tail === undefined ? [] : groups(tail)
  const words = [...first, ...Array<number>(8 - first.length - last.length).fill(0), ...last]
  const bytes = Buffer.alloc(16)
  for (const [i, word] of words.entries()) bytes.writeUInt16BE(word, i * 2)
  return bytes
}

function groups(text: string): number[] {
  return text === '' ? [] : text.split(':').map(group => Number.parseInt(group, 16))
}
