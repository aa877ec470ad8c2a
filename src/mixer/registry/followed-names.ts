/** Where the host names of endpoints lead, turned round: which names lead to an address. */
import { canonicalIp, isLoopbackText } from '../../codec/ip-block.ts'
import type { NameResolver, NameWatch } from '../../runtime/names/name-resolver.ts'

/** Names that are followed. With more, no name is: an address that belongs to one of the first may be another's too. */
export const MAX_FOLLOWED_NAMES = 10_000
const NONE: ReadonlySet<string> = new Set()

export interface FollowedNamesDeps {
  readonly names: Pick<NameResolver, 'watch'>
  /** Some address is led to by other names than before. */
  readonly changed: () => void
  /** There are more names than are followed. */
  readonly tooMany: (count: number) => void
}

interface Followed {
  readonly watch: NameWatch
  addresses: readonly string[]
}

export class FollowedNames {
  readonly #deps: FollowedNamesDeps
  readonly #followed = new Map<string, Followed>()
  readonly #byAddress = new Map<string, Set<string>>()
  #tooMany = false

  constructor(deps: FollowedNamesDeps) {
    this.#deps = deps
  }

  /** Whether every name has been answered for, be it that it leads nowhere. */
  get complete(): boolean {
    if (this.#tooMany) return false
    for (const { watch } of this.#followed.values()) if (watch.addresses === undefined) return false
    return true
  }

  /** From now on follows these names and no others. */
  follow(names: ReadonlySet<string>): void {
    const tooMany = names.size > MAX_FOLLOWED_NAMES
    if (tooMany && !this.#tooMany) this.#deps.tooMany(names.size)
    this.#tooMany = tooMany
    const wanted = tooMany ? NONE : names
    for (const [name, { watch }] of this.#followed) {
      if (wanted.has(name)) continue
      watch.close()
      this.#lead(name, [])
      this.#followed.delete(name)
    }
    for (const name of wanted) if (!this.#followed.has(name)) this.#add(name)
  }

  leadingTo(address: string): ReadonlySet<string> {
    return this.#byAddress.get(address) ?? NONE
  }

  /** The loopback addresses that some name leads to, as a hosts file has them. */
  loopbackAddresses(): string[] {
    return [...this.#byAddress.keys()].filter(address => isLoopbackText(address))
  }

  close(): void {
    this.follow(NONE)
  }

  #add(name: string): void {
    const watch = this.#deps.names.watch(name, addresses => {
      this.#lead(name, addresses)
      this.#deps.changed()
    })
    this.#followed.set(name, { watch, addresses: [] })
    this.#lead(name, watch.addresses ?? [])
  }

  #lead(name: string, addresses: readonly string[]): void {
    const followed = this.#followed.get(name)
    if (followed === undefined) return
    for (const address of followed.addresses) {
      const names = this.#byAddress.get(address)
      names?.delete(name)
      if (names?.size === 0) this.#byAddress.delete(address)
    }
    followed.addresses = addresses.flatMap(address => canonicalIp(address) ?? [])
    for (const address of followed.addresses) {
      const names = this.#byAddress.get(address)
      if (names === undefined) this.#byAddress.set(address, new Set([name]))
      else names.add(name)
    }
  }
}
