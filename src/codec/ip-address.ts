/** IP addresses between text and numbers. Strict: one address has few spellings, and only one when written here. */

/** Dotted decimal without leading zeros (`010` is octal to some readers) → 4 octets. */
export function ipv4Octets(text: string): number[] | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text)
  if (!match) return undefined
  const parts = match.slice(1)
  return parts.every(part => String(Number(part)) === part && Number(part) <= 255)
    ? parts.map(Number)
    : undefined
}

/** RFC 4291 section 2.2, with `::` and a dotted IPv4 tail, without a zone → 8 groups. */
export function ipv6Groups(text: string): number[] | undefined {
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const head = groupsOf(halves[0] ?? '', halves.length === 1)
  if (halves.length === 1) return head?.length === 8 ? head : undefined
  const tail = groupsOf(halves[1] ?? '', true)
  if (head === undefined || tail === undefined) return undefined
  const zeros = 8 - head.length - tail.length
  return zeros >= 1 ? [...head, ...Array.from({ length: zeros }, () => 0), ...tail] : undefined
}

function groupsOf(text: string, dottedTail: boolean): number[] | undefined {
  if (text === '') return []
  const groups: number[] = []
  const words = text.split(':')
  for (const [index, word] of words.entries()) {
    const octets = dottedTail && index === words.length - 1 ? ipv4Octets(word) : undefined
    if (octets !== undefined) {
      const [a = 0, b = 0, c = 0, d = 0] = octets
      groups.push(a * 256 + b, c * 256 + d)
    } else if (/^[0-9a-fA-F]{1,4}$/.test(word)) groups.push(Number.parseInt(word, 16))
    else return undefined
  }
  return groups
}

export function formatIpv4(octets: Iterable<number>): string {
  return [...octets].join('.')
}

/** 8 groups → RFC 5952 text; an IPv4-mapped address becomes the IPv4 address, so that one peer has one name. */
export function formatIpv6(groups: readonly number[]): string {
  const [high = 0, low = 0] = groups.slice(6)
  if (groups.slice(0, 5).every(group => group === 0) && groups[5] === 0xffff) {
    return formatIpv4([high >> 8, high & 255, low >> 8, low & 255])
  }
  const text = groups.map(group => group.toString(16)).join(':')
  const zeros = text.match(/\b0(:0)+\b/g) ?? []
  const longest = zeros.reduce((best, run) => (run.length > best.length ? run : best), '')
  if (longest === '') return text
  const at = new RegExp(`\\b${longest}\\b`).exec(text)?.index ?? 0
  return `${text.slice(0, Math.max(0, at - 1))}::${text.slice(at + longest.length + 1)}`
}
