/** Peers whose word on where a call came from is taken (`trustedProxies`). */
import { BlockList, isIPv6 } from 'node:net'

export class TrustedPeers {
  readonly #list = new BlockList()
  readonly #any: boolean

  /** Addresses and CIDR blocks, valid ones. */
  constructor(blocks: readonly string[]) {
    this.#any = blocks.length > 0
    for (const block of blocks) {
      const [address, prefix] = block.split('/') as [string, string?]
      const family = isIPv6(address) ? 'ipv6' : 'ipv4'
      if (prefix === undefined) this.#list.addAddress(address, family)
      else this.#list.addSubnet(address, Number(prefix), family)
    }
  }

  has(address: string): boolean {
    return this.#any && this.#list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4')
  }
}
