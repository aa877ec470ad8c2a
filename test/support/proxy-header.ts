/** PROXY headers as balancers send them, and such as none would. */

const SIGNATURE = '0d0a0d0a000d0a515549540a'

export interface ProxyV2 {
  readonly source?: string
  readonly destination?: string
  readonly tlvs?: readonly Buffer[]
}

/** Version 2, TCP over IPv4, with the TLVs given. */
export function proxyV2({
  source = '10.1.2.3',
  destination = '10.0.0.1',
  tlvs = [],
}: ProxyV2 = {}): Buffer {
  const octets = [source, destination].flatMap(address => address.split('.').map(Number))
  const block = Buffer.concat([Buffer.from([...octets, 0x30, 0x39, 0, 80]), ...tlvs])
  const head = Buffer.from(`${SIGNATURE}21110000`, 'hex')
  head.writeUInt16BE(block.length, 14)
  return Buffer.concat([head, block])
}

/** A command LOCAL, as for the health check of a balancer. */
export function proxyV2Local(): Buffer {
  return Buffer.from(`${SIGNATURE}20000000`, 'hex')
}

export function tlv(type: number, value: string | Buffer): Buffer {
  const bytes = Buffer.from(value)
  const head = Buffer.of(type, 0, 0)
  head.writeUInt16BE(bytes.length, 1)
  return Buffer.concat([head, bytes])
}

/** What AWS sends for a connection through the VPC endpoint `id`. */
export function awsLink(id: string): Buffer {
  return tlv(0xea, `\x01${id}`)
}
