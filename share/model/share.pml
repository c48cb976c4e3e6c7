/*
 * The protocol of the crate `share` for a model checker: three hosts, every order of
 * steps, kills, lost answers, late messages, an eviction.
 *
 * They want one and the same address. Those of a range share nothing but the records of the
 * hosts, so a second one brings no order of steps that the first does not have.
 *
 *     make model
 *
 * etcd is a set of atomic steps: a transaction checks and writes in one. Where it may take
 * effect without its sender hearing of it, the sender goes on as if nobody had answered.
 *
 * I1  no address is plumbed without a confirmed claim: asserted where a host plumbs.
 * I2  only the owner deletes a key, by its exact value, or an operator's evict: asserted where
 *     a key is deleted. And what both are for: no address is in use on two hosts.
 *
 * With -DBREAK=n a step is left out, and spin must find what that breaks:
 *   1  a claim does not check that the key is absent
 *   2  a release does not check the key's value
 *   3  a beat does not check the host's record, so an evicted host goes on
 *   4  an evict does not look whether somebody still answers
 *   5  a host plumbs although nobody has answered its claim
 *   6  a reconciliation deletes keys that a lease mentions
 *
 * `share/tests/model` has the real code in the place of this; here every interleaving is
 * tried, there restores, copies and a larger world.
 */

#ifndef BREAK
#define BREAK 0
#endif

#define HOSTS 3
#define FREE 0            /* a key that is not there */
#ifndef CLAIMS
#define CLAIMS 1          /* how often each host claims */
#endif

#ifndef COLLECTIONS
#define COLLECTIONS 1     /* how often each host collects */
#endif

/* A value is owner + 1 in the high part, the number of the claim in the low part: values are
   never used twice. */
#define VALUE(host, claim) (((host) + 1) * 16 + (claim))
#define OWNER(value) (((value) / 16) - 1)

/* etcd */
byte key;                 /* FREE, or the value */
byte record[HOSTS];       /* the beat that was written last; 255: evicted */
#define EVICTED 255

/* the LAN */
byte user;                /* host + 1 that answers for the address */

/* what each host has on its disk */
typedef Disk {
    byte lease;               /* the value, or FREE */
    byte debt;
    byte seq;                 /* the record it wrote last */
    bit pending;              /* one more was sent and not answered */
    byte claims;
    byte collections;
    bit gone;                 /* it has found out that it was evicted */
};
Disk disk[HOSTS];

/* One claim and one release that are under way somewhere, each for later. */
byte late_claim_value; byte late_claim_record;
byte late_release_value; byte late_release_record;

bit evicting;             /* one eviction for the whole run */
byte starting;            /* hosts between a confirmed claim and its interface */

inline delete(by) {
    assert(BREAK == 4 || OWNER(key) == by);          /* I2 */
    key = FREE
}

/* The transaction of a claim, with the host's beat in it: its checks and its writes. */
inline carry_out_claim(new, written, is_done) {
    if
    :: (record[OWNER(new)] == written) && (BREAK == 1 || key == FREE) ->
        key = new; record[OWNER(new)] = written + 1; is_done = 1
    :: else -> is_done = 0
    fi
}

inline carry_out_release(old, written) {
    if
    :: (record[OWNER(old)] == written) && key != FREE &&
       (BREAK == 2 || key == old) ->
        delete(OWNER(old))
    :: else -> skip
    fi
}

/* A beat of its own. One that was sent and not answered is repeated first: then nothing of
   the earlier command can be carried out any more. */
inline beat(me, ok) {
    if
    :: (record[me] == disk[me].seq) || (disk[me].pending && record[me] == disk[me].seq + 1) ||
       (BREAK == 3) ->
        disk[me].seq = disk[me].seq + 1 + disk[me].pending;
        disk[me].pending = 0;
        record[me] = disk[me].seq; ok = 1
    :: else -> ok = 0; disk[me].gone = (record[me] == EVICTED)
    fi
}

/* The local release: the lease becomes a debt in one transaction of the store. */
inline give_up(me) {
    disk[me].debt = disk[me].lease;
    disk[me].lease = FREE
}

proctype Host(byte me) {
    byte value;
    bit ok, done;

again:
    atomic { value = 0; ok = 0; done = 0 }
    do
    /* start a container: the claim */
    :: atomic { disk[me].claims < CLAIMS && !disk[me].gone ->
        disk[me].claims++;
        value = VALUE(me, disk[me].claims);
        if
        /* what the store has leased itself is not asked for */
        :: disk[me].lease != FREE -> done = 0
        :: else ->
            if
            :: disk[me].pending -> beat(me, ok)
            :: else -> ok = 1
            fi;
            if
            :: !ok -> done = 0
            :: else ->
                if
                :: skip; carry_out_claim(value, disk[me].seq, done);
                   if
                   :: done -> disk[me].seq++; starting++
                   :: else -> skip
                   fi
                /* nobody answers: it was not done, is done, or is done later */
                :: skip; disk[me].pending = 1; done = (BREAK == 5)
                :: skip; carry_out_claim(value, disk[me].seq, done);
                   disk[me].pending = 1; done = (BREAK == 5)
                :: late_claim_value == FREE ->
                   late_claim_value = value;
                   late_claim_record = disk[me].seq;
                   disk[me].pending = 1; done = (BREAK == 5)
                fi
            fi
        fi;
        if
        :: !done -> goto again
        :: else -> skip
        fi };
        /* the lease, durable; or killed before that */
        if
        :: disk[me].lease = value
        :: atomic { starting = (starting > 0 -> starting - 1 : 0); goto again }
        fi;
        atomic {
            assert(key == value);                               /* I1 */
            assert(user == 0);                /* no address is in use twice */
            user = me + 1;
            starting = (starting > 0 -> starting - 1 : 0);
            goto again
        }

    /* a container ends: the interface goes first, then the lease, then the key */
    :: atomic { user == me + 1 -> user = 0; goto release }

    /* a collection: the debts of the dead, then the keys that no lease mentions */
    :: atomic { disk[me].collections < COLLECTIONS && !disk[me].gone ->
        disk[me].collections++;
        if
        :: disk[me].lease != FREE && user != me + 1 -> give_up(me)
        :: else -> skip
        fi;
        beat(me, ok);
        if
        :: !ok -> goto again
        :: else -> skip
        fi };
        /* looks at the key, and later deletes what it has seen */
        value = key;
        atomic {
            if
            :: value != FREE && OWNER(value) == me &&
               (BREAK == 6 || disk[me].lease != value) ->
                carry_out_release(value, disk[me].seq)
            :: else -> skip
            fi;
            disk[me].debt = FREE;
            goto again
        }
    :: user != me + 1 -> goto end
    od;

release:
    /* killed before that: the lease stays */
    if
    :: atomic { give_up(me); value = disk[me].debt }
    :: goto again
    fi;
    atomic {
        if
        :: value == FREE -> skip
        :: value != FREE ->
            carry_out_release(value, disk[me].seq); disk[me].debt = FREE
        :: skip                                            /* nobody answers: the debt stays */
        :: late_release_value == FREE && value != FREE ->
            late_release_value = value;
            late_release_record = disk[me].seq
        fi;
        goto again
    }

end:
    skip
}

/* What was held up arrives, perhaps twice, perhaps never. */
proctype Network() {
    bit done;
end:
    do
    :: atomic { late_claim_value != FREE ->
        carry_out_claim(late_claim_value, late_claim_record, done);
        if :: late_claim_value = FREE :: skip fi }
    :: atomic { late_release_value != FREE ->
        carry_out_release(late_release_value, late_release_record);
        if :: late_release_value = FREE :: skip fi }
    od
}

/* An operator evicts host 0, which is silent: no address of its own answers, and it is not
   in the midst of a start (the etcd lease is longer than any). */
proctype Operator() {
end:
    atomic { evicting && starting == 0 && (BREAK == 4 || user != 1) -> record[0] = EVICTED }
    atomic {
        if
        :: key != FREE && OWNER(key) == 0 -> delete(0)
        :: else -> skip
        fi
    }
}

init {
    atomic {
        if :: evicting = 1 :: evicting = 0 fi;
        run Host(0); run Host(1); run Host(2);
        run Network(); run Operator()
    }
}
