/** SETTINGS (RFC 9113 §6.5, RFC 8441 §3): what the other end says that we may do. */
import {
  DEFAULT_FRAME_SIZE,
  FLOW_CONTROL_ERROR,
  LARGEST_FRAME_SIZE,
  MAX_WINDOW,
  NO_ERROR,
  PROTOCOL_ERROR,
} from './frame.ts'

export const HEADER_TABLE_SIZE = 0x1
export const ENABLE_PUSH = 0x2
export const MAX_CONCURRENT_STREAMS = 0x3
export const INITIAL_WINDOW_SIZE = 0x4
export const MAX_FRAME_SIZE = 0x5
export const MAX_HEADER_LIST_SIZE = 0x6
export const ENABLE_CONNECT_PROTOCOL = 0x8
/** RFC 9218 §2.1. */
export const NO_RFC7540_PRIORITIES = 0x9

export const DEFAULT_WINDOW = 65_535

/** Whose settings they are. */
export type Peer = 'client' | 'server'

/** What holds until the other end says otherwise; infinite where it need say nothing. */
export class Settings {
  headerTableSize = 4_096
  /** It and what it was before the last frame, and between, whichever is smallest. */
  smallestHeaderTableSize = 4_096
  enablePush = true
  maxConcurrentStreams: number = Number.POSITIVE_INFINITY
  initialWindowSize: number = DEFAULT_WINDOW
  maxFrameSize: number = DEFAULT_FRAME_SIZE
  maxHeaderListSize: number = Number.POSITIVE_INFINITY
  enableConnectProtocol = false
  readonly #peer: Peer

  constructor(peer: Peer = 'client') {
    this.#peer = peer
  }

  /**
   * Takes over the payload of a SETTINGS frame, in its order; unknown ones are ignored (§6.5.2). Returns an error code of the
   * connection where a value is none that it may have, and then has taken a part.
   */
  apply(bytes: Buffer, start: number, end: number): number {
    this.smallestHeaderTableSize = this.headerTableSize
    for (let at = start; at + 6 <= end; at += 6) {
      const error = this.#set(bytes.readUInt16BE(at), bytes.readUInt32BE(at + 2))
      if (error !== NO_ERROR) return error
    }
    return NO_ERROR
  }

  #set(id: number, value: number): number {
    switch (id) {
      case HEADER_TABLE_SIZE:
        this.headerTableSize = value
        this.smallestHeaderTableSize = Math.min(value, this.smallestHeaderTableSize)
        return NO_ERROR
      case ENABLE_PUSH:
        this.enablePush = value === 1
        // Nobody pushes to a server (§6.5.2).
        return value > (this.#peer === 'client' ? 1 : 0) ? PROTOCOL_ERROR : NO_ERROR
      case MAX_CONCURRENT_STREAMS:
        this.maxConcurrentStreams = value
        return NO_ERROR
      case INITIAL_WINDOW_SIZE:
        this.initialWindowSize = value
        return value > MAX_WINDOW ? FLOW_CONTROL_ERROR : NO_ERROR
      case MAX_FRAME_SIZE:
        this.maxFrameSize = value
        return value < DEFAULT_FRAME_SIZE || value > LARGEST_FRAME_SIZE ? PROTOCOL_ERROR : NO_ERROR
      case MAX_HEADER_LIST_SIZE:
        this.maxHeaderListSize = value
        return NO_ERROR
      case ENABLE_CONNECT_PROTOCOL:
        return this.#setConnectProtocol(value)
      case NO_RFC7540_PRIORITIES:
        return value > 1 ? PROTOCOL_ERROR : NO_ERROR
      default:
        return NO_ERROR
    }
  }

  /** Once said, it cannot be taken back (RFC 8441 §3). */
  #setConnectProtocol(value: number): number {
    if (value > 1 || (this.enableConnectProtocol && value === 0)) return PROTOCOL_ERROR
    this.enableConnectProtocol = value === 1
    return NO_ERROR
  }
}
