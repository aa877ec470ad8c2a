/** ClientHellos: some as programs have sent them, and others made to measure. */

export interface RecordedHello {
  readonly from: string
  readonly serverName: string
  readonly protocols: readonly string[]
  readonly versions: readonly number[]
  readonly bytes: Buffer
}

function base64(text: string): Buffer {
  return Buffer.from(text, 'base64')
}

/** The first bytes of connections, whole. */
export const RECORDED_HELLOS: readonly RecordedHello[] = [
  {
    from: 'OpenSSL 3.0.22, `s_client -servername acme.example.com -alpn h2,http/1.1`',
    serverName: 'acme.example.com',
    protocols: ['h2', 'http/1.1'],
    versions: [0x0304, 0x0303, 0x0302, 0x0301],
    bytes: base64(
      'FgMBAU8BAAFLAwO97xhZjh4ARXUDy63NHJKIWUBCndYa4MBdZ5JiDwoTCCChYOM17TGwUGqJfGOvSVsfI8wIEIn7mcJECzrbuTHA' +
        'WwA+EwITAxMBwCzAMACfzKnMqMyqwCvALwCewCTAKABrwCPAJwBnwArAFAA5wAnAEwAzAJ0AnAA9ADwANQAvAP8BAADEAAAAFQAT' +
        'AAAQYWNtZS5leGFtcGxlLmNvbQALAAQDAAECAAoAFgAUAB0AFwAeABkAGAEAAQEBAgEDAQQAIwAAABAADgAMAmgyCGh0dHAvMS4x' +
        'ABYAAAAXAAAADQAqACgEAwUDBgMIBwgICAkICggLCAQIBQgGBAEFAQYBAwMDAQMCBAIFAgYCACsACQgDBAMDAwIDAQAtAAIBAQAz' +
        'ACYAJAAdACAPqRk/I6Ybe9BUw5uwBeKkyBvkFF3PR5RxRefYbJh1EQ==',
    ),
  },
  {
    from: 'OpenSSL 3.0.22, `s_client -tls1_2 -noservername`',
    serverName: '',
    protocols: [],
    versions: [0x0303],
    bytes: base64(
      'FgMBALcBAACzAwO/iTZkMV84Tm02U8OqcubBrUbFnJYwbWNqiEhIJkqOKQAAOMAswDAAn8ypzKjMqsArwC8AnsAkwCgAa8AjwCcA' +
        'Z8AKwBQAOcAJwBMAMwCdAJwAPQA8ADUALwD/AQAAUgALAAQDAAECAAoADAAKAB0AFwAeABkAGAAjAAAAFgAAABcAAAANACoAKAQD' +
        'BQMGAwgHCAgICQgKCAsIBAgFCAYEAQUBBgEDAwMBAwIEAgUCBgI=',
    ),
  },
  {
    from: 'curl 7.88.1 with OpenSSL, `https://globex.example.com/`',
    serverName: 'globex.example.com',
    protocols: ['h2', 'http/1.1'],
    versions: [0x0304, 0x0303, 0x0302, 0x0301],
    bytes: base64(
      'FgMBAgABAAH8AwNnKtjyPyRWYey1w8KEvp/0XrSChUrsZRRVFRrDtCK+tCAegzk7qnBDi8IH/04dlVHXn+m4mQ/pz1ATYueEh0iu' +
        '+AA+EwITAxMBwCzAMACfzKnMqMyqwCvALwCewCTAKABrwCPAJwBnwArAFAA5wAnAEwAzAJ0AnAA9ADwANQAvAP8BAAF1AAAAFwAV' +
        'AAASZ2xvYmV4LmV4YW1wbGUuY29tAAsABAMAAQIACgAWABQAHQAXAB4AGQAYAQABAQECAQMBBAAQAA4ADAJoMghodHRwLzEuMQAW' +
        'AAAAFwAAADEAAAANACoAKAQDBQMGAwgHCAgICQgKCAsIBAgFCAYEAQUBBgEDAwMBAwIEAgUCBgIAKwAJCAMEAwMDAgMBAC0AAgEB' +
        'ADMAJgAkAB0AIMjfJengdBXsM0ZPLIQ8vGlPsgZHqBuN5QGkvNgtWLdoABUAqwAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' +
        'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' +
        'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==',
    ),
  },
  {
    from: 'Node 26.10 (OpenSSL 3.5, with a post-quantum key), `servername: Acme.Example.com`, ALPN `postgresql`',
    serverName: 'Acme.Example.com',
    protocols: ['postgresql'],
    versions: [0x0304, 0x0303],
    bytes: base64(
      'FgMBBkUBAAZBAwPV9pRwjSzUEVe4Z//v6HP+zV26k6+Y2XM6haj+fW+gYCCmITKSMYzzJLvrquisbWmJ6UBC5v2/KBwJnh5ElAVA' +
        '+ABoEwITAxMBwC/AK8AwwCwAnsAnAGfAKABrAKMAn8ypzKjMqsCtwJ/AXcBhwFfAUwCiwKzAnsBcwGDAVsBSwCQAasAjAEDACsAU' +
        'ADkAOMAJwBMAMwAyAJ3AncBRAJzAnMBQAD0APAA1AC8BAAWQ/wEAAQAAAAAVABMAABBBY21lLkV4YW1wbGUuY29tAAsABAMAAQIA' +
        'CgASABAR7AAdABcAHgAYABkBAAEBACMAAAAQAA0ACwpwb3N0Z3Jlc3FsABYAAAAXAAAADQA2ADQJBQkGCQQEAwUDBgMIBwgICBoI' +
        'GwgcCAkICggLCAQIBQgGBAEFAQYBAwMDAQMCBAIFAgYCACsABQQDBAMDAC0AAgEBADME6gToEewEwOgcmgWZPnySc/F0FpAZNIj5' +
        'rzOmAGXTMEp1Z0LnYxnTq+3iAD5TgdHqXN1aYA34czEmoQJyPuPZwMMLKXBZa546s4mCGk55vQjmb54yNvTWqWTJZSd2TDchbywB' +
        'rYVyIHYxwyQKugVkULA7fyuCdBdjpe8UM+/cLcCjbRZxphlmqnY6RLInEGpTLJwEIP5jnmm3h9bjWouka3K1wxXTVIaqQd5bDLmX' +
        'oLygfBb5d7FXw/kmVvyGX4aLVV25UfB0qI1HYZScfu1DjKGLaKyTU4oQBJgnFN/CEjI5Q0R1EibXa/3yf8B6Bjn5rGUBxvrxLCXi' +
        'HAEiKDKJLVT7w2grH7p1haBWQ4o2ACczEg1xsP0Zh99mTk47Eu0GDWMJqz+1nm1sg+bTdR33UdaUJ0bMC1oUFQYETPgCXhWiSy4r' +
        'Q930LYrXRvMIjNLBTv+DFC2jL4NsA3iCYDRlVo5FcxaRNbaWoLDTQ/zbvxULC6JBnuziq8O7w21SNwJ2Ro+buCfraxmYGCVMTKcX' +
        'MBWieyaHHIUbPVQ6FURGhoPbUiyGNHtGVeDmk6szGtmGNLzbn/jzXAYEqUb8MNV7so18rfrRyk1BMq4ZdbEsFafnqUz0ra8Xt9F3' +
        'MbQIGaTxKpMZpgX8apyREsgyVyfJY+o6bef5syM4tjlUCZvLcEaMImSJozt0CTumA0U0fHCldzbHl+oWzmmkB2Q7vaa7qgVQMmfx' +
        'ZUyDl0i2E3nBbqj8ZED3GbD0HFP0qghXICJpyzfgnpjQEvrWeEV0v5d7AqpKCbwKsdZqKxiycSR6yRnhkwd6JXviIsLBFMB3om6V' +
        'l/uscvA4bVAnxgKFBI2RaHXQBBP6ErATDrQCoIWnwW5WroAKVdHRzFpAMB8BoBm8cilBhbzWkJAwXTDINVQ0eRDpvmzyYsk1s60K' +
        'X12zdLboK8TWeaRxSHhaV9s5SPQKH28Cqnq1GQBFxY50YCVqldgBa27AQiozczkYgyi1rwiISI/oFsnZoILKntd3i9scbazyi4RG' +
        'iwcVRx+QhXBpXoXZJcggJdlkhsuTUV0sxK2moLyFGilAk/yzKsHnHV5noQmwnCwVhNLwy/rTf1urDS7kfaZmVQ0ntDklEfhTSWuF' +
        'fbJ8rCgmA92Yxw9FLqyVNHu0RxYDll1lCST0vFxcr5diIQXhufjKJD7sV4rQp7C8XntpuH3LCSjIhvdncBJHsi3JOtphWsPxxhLK' +
        'KQMVrF97k7iRBrFaJEJLMFzDCqJINixLysJFuRtnlNzzN6WFSp2QUhRXhnDAwFH0ofF2V4u2VgWnK0Hjf9EzVYz3mtKmdm85eBnB' +
        'WpfibnYVib+TH838o6ZjAUD1FvkbEb/GCrKJwGXgHY3wuakFmtdxHe07uIq0ys6CaxJ5VEnRBnl8RS3yOt2AONGmERAMW0iWUvH0' +
        'GIznqqiHvzHHRBxXC9BXLJugbkgCXYYiLp8HVosgTZLFxF37ARp5H0ixMLlUoc55MMRTxEGBlCszety7lwMRNOswapxWoxKUQbIS' +
        'eCigf4KLYPxLA/m4EMqezeh7UtdhhX8hPfa9WcbASHBvwywXUCg8USXfxQ5W3SUAEcXdlFsRSR0fO/a+kANkH6/8icqcDto7UA8A' +
        'HQAgKm02UeR/9Jhh0HHoyXUXPQbRPvIF7Tt4+75qNZRLzBE=',
    ),
  },
] as const

const u8 = (value: number): Buffer => Buffer.of(value)
export const u16 = (value: number): Buffer => Buffer.of(value >> 8, value & 0xff)
const u24 = (value: number): Buffer => Buffer.of(value >> 16, (value >> 8) & 0xff, value & 0xff)
const bytesOf = (value: string | Buffer): Buffer =>
  typeof value === 'string' ? Buffer.from(value, 'latin1') : value

/** A vector: its length in `size` bytes, then what stands in it. */
export function vector(size: 1 | 2 | 3, ...parts: (string | Buffer)[]): Buffer {
  const body = Buffer.concat(parts.map(bytesOf))
  const length = { 1: u8, 2: u16, 3: u24 }[size](body.length)
  return Buffer.concat([length, body])
}

export function extension(type: number, ...parts: (string | Buffer)[]): Buffer {
  return Buffer.concat([u16(type), vector(2, ...parts)])
}

export function serverNameExtension(name: string): Buffer {
  return extension(0, vector(2, u8(0), vector(2, name)))
}

export function protocolsExtension(...names: readonly string[]): Buffer {
  return extension(16, vector(2, ...names.map(name => vector(1, name))))
}

export interface HelloParts {
  readonly legacyVersion?: number
  readonly sessionId?: Buffer
  readonly suites?: Buffer
  readonly compressions?: Buffer
  /** Undefined: the message ends before them, as it may before TLS 1.3. */
  readonly extensions?: readonly Buffer[] | undefined
  /** Behind everything, within the message. */
  readonly tail?: Buffer
}

/** The handshake message, with its type and length. */
export function helloMessage(parts: HelloParts): Buffer {
  const { extensions } = parts
  const body = [
    u16(parts.legacyVersion ?? 0x0303),
    Buffer.alloc(32, 0x5a),
    vector(1, parts.sessionId ?? Buffer.alloc(32, 1)),
    vector(2, parts.suites ?? Buffer.of(0x13, 1, 0x13, 2)),
    vector(1, parts.compressions ?? u8(0)),
    ...(extensions === undefined ? [] : [vector(2, ...extensions)]),
    parts.tail ?? Buffer.alloc(0),
  ]
  return Buffer.concat([u8(1), vector(3, ...body)])
}

/** One TLS record of a handshake. */
export function handshakeRecord(fragment: Buffer): Buffer {
  return Buffer.concat([Buffer.of(0x16, 3, 1), vector(2, fragment)])
}

/** `message` in records of these lengths, and the rest in a last one. */
export function inRecords(message: Buffer, ...lengths: readonly number[]): Buffer {
  const records: Buffer[] = []
  let at = 0
  for (const length of lengths) {
    if (at + length >= message.length) break
    records.push(handshakeRecord(message.subarray(at, at + length)))
    at += length
  }
  return Buffer.concat([...records, handshakeRecord(message.subarray(at))])
}

/** A whole ClientHello that asks for `name`, in one record. */
export function helloFor(name: string, ...more: readonly Buffer[]): Buffer {
  return inRecords(helloMessage({ extensions: [serverNameExtension(name), ...more] }))
}

/** As Chrome sends it: values that mean nothing (GREASE), a post-quantum key, and the name that is meant encrypted (ECH). */
export function helloLikeChrome(outerName: string): Buffer {
  return inRecords(
    helloMessage({
      suites: Buffer.of(0xea, 0xea, 0x13, 1, 0x13, 2, 0x13, 3),
      extensions: [
        extension(0x2a2a),
        serverNameExtension(outerName),
        extension(
          51,
          vector(2, u16(0x3a3a), vector(2, 'x'), u16(0x11ec), vector(2, Buffer.alloc(1216))),
        ),
        extension(43, vector(1, u16(0x4a4a), u16(0x0304), u16(0x0303))),
        protocolsExtension('\x5a\x5a', 'h2', 'http/1.1'),
        extension(0xfe0d, Buffer.concat([u8(0), Buffer.alloc(200, 7)])),
        extension(0xfafa, u8(0)),
      ],
    }),
  )
}
