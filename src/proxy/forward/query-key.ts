/** An API key in the query of a request target, where the configuration names a parameter for it. */
import { percentDecode } from '../../codec/percent.ts'

export interface QueryKey {
  /** Decoded, to the bytes that the same key has in a field. */
  readonly key: string
  /** The target without the parameter: a key that was meant for the proxy goes no further. */
  readonly rest: string
}

/**
 * Finds the parameter `name`. Undefined where it is not there; `ambiguous` where it is there twice, or is not valid
 * percent-encoding, so that nobody can read it differently.
 */
export function findQueryKey(target: string, name: string): QueryKey | 'ambiguous' | undefined {
  const start = target.indexOf('?')
  if (start < 0) return undefined
  const others: string[] = []
  let found: string | undefined
  for (const part of target.slice(start + 1).split('&')) {
    const equals = part.indexOf('=')
    if (percentDecode(equals < 0 ? part : part.slice(0, equals)) !== name) {
      others.push(part)
      continue
    }
    if (found !== undefined) return 'ambiguous'
    found = equals < 0 ? '' : percentDecode(part.slice(equals + 1))
    if (found === undefined) return 'ambiguous'
  }
  if (found === undefined) return undefined
  const query = others.join('&')
  return {
    key: found,
    rest: query === '' ? target.slice(0, start) : `${target.slice(0, start)}?${query}`,
  }
}
