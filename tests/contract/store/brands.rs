//! Brands, keys, users and their logins.

use tidings_store::{
    Brand, BrandTaken, KeyScope, NewLogin, Profile, Put, SecretHash, SharedStore, StoredKey, User, UserId,
    UserKey, settings::Origins,
};

use super::{Home, added, at, brand, cases, titled, to, user};

cases!(
    brands_are_kept_by_id_and_name,
    keys_open_what_they_are_for,
    a_login_lasts_until_its_end,
    a_login_is_of_its_brand,
    what_is_known_of_a_user_is_replaced,
    users_are_listed_by_number,
    several_users_are_found_at_once,
);

fn acorn() -> Brand {
    Brand {
        id: brand(7),
        name: "acorn".to_owned(),
        app_id: "1".to_owned(),
        region: "eu".to_owned(),
        sid_url: Some("https://operator.example/authenticate".to_owned()),
        test_sid: true,
        allowed_origins: Origins::parse(vec!["https://a.example".to_owned(), "*.b.example".to_owned()])
            .expect("origins"),
    }
}

async fn brands_are_kept_by_id_and_name(home: Home) {
    let (store, announcements) = home.serve();
    let other = Brand { id: brand(3), name: "birch".to_owned(), sid_url: None, ..acorn() };
    for new in [acorn(), other.clone()] {
        assert_eq!(store.put_brand(new, Put::Add, at(0)).await.expect("stored"), Ok(()));
    }
    let again = Brand { name: "cedar".to_owned(), ..acorn() };
    let taken = store.put_brand(again.clone(), Put::Add, at(1)).await.expect("no error");
    assert_eq!(taken, Err(BrandTaken::Id));
    for put in [Put::Add, Put::Replace] {
        let name = Brand { id: brand(8), ..acorn() };
        assert_eq!(store.put_brand(name, put, at(1)).await.expect("no error"), Err(BrandTaken::Name));
    }
    assert_eq!(store.brands_and_keys().await.expect("read").0, [other.clone(), acorn()]);
    assert_eq!(store.put_brand(again.clone(), Put::Replace, at(2)).await.expect("stored"), Ok(()));
    let new = Brand { id: brand(9), name: "dill".to_owned(), ..acorn() };
    assert_eq!(store.put_brand(new.clone(), Put::Replace, at(2)).await.expect("stored"), Ok(()));
    drop((store, announcements));
    let (store, _announcements) = home.serve();
    assert_eq!(store.brands_and_keys().await.expect("read").0, [other, again, new]);
}

async fn keys_open_what_they_are_for(home: Home) {
    let (store, _announcements) = home.serve();
    let key = |byte: u8, scope, ms| StoredKey {
        hash: [byte; 32],
        hint: format!("key{byte}"),
        scope,
        created_at: at(ms),
    };
    let keys = [
        key(9, KeyScope::Brand(brand(7)), 0),
        key(1, KeyScope::Installation, 1),
        key(2, KeyScope::Brand(brand(8)), 1),
    ];
    for key in keys.iter().rev() {
        store.add_key(key.clone()).await.expect("stored");
    }
    store.add_key(keys[0].clone()).await.expect_err("it is there already");
    assert_eq!(store.brands_and_keys().await.expect("read").1, keys);
    assert!(store.delete_key(keys[1].hash).await.expect("deleted"));
    assert!(!store.delete_key(keys[1].hash).await.expect("no error"));
    let beside = home.beside();
    assert_eq!(beside.brands_and_keys().await.expect("read").1, [keys[0].clone(), keys[2].clone()]);
}

fn login(external_id: &str, token: u8, sid: u8, ends: i64) -> NewLogin {
    NewLogin {
        brand: brand(7),
        external_id: external_id.to_owned(),
        is_test: false,
        token_hash: [token; 32],
        sid_hash: Some([sid; 32]),
        expires_at: at(ends),
    }
}

async fn a_login_lasts_until_its_end(home: Home) {
    let (store, _announcements) = home.serve();
    let ann = store.add_login(login("ann", 1, 11, 10), at(0)).await.expect("stored");
    assert_eq!((ann.external_id.as_str(), ann.is_test, ann.created_at), ("ann", false, at(0)));
    let again = store.add_login(login("ann", 2, 11, 20), at(5)).await.expect("stored");
    assert_eq!(again, ann, "the same user");
    store.add_login(login("bob", 1, 12, 20), at(5)).await.expect_err("a token is given once");
    assert_eq!(store.user_called(brand(7), "bob".to_owned()).await.expect("read"), None);
    let test = NewLogin { is_test: true, ..login("test", 3, 13, 20) };
    assert!(store.add_login(test, at(5)).await.expect("stored").is_test);

    let token = |byte, ms| store.token_owner([byte; 32], at(ms));
    assert_eq!(token(1, 9).await.expect("read"), Some(ann.key));
    assert_eq!(token(1, 10).await.expect("read"), None, "it has ended");
    assert_eq!(token(2, 10).await.expect("read"), Some(ann.key));
    assert_eq!(token(4, 0).await.expect("read"), None);
    assert_eq!(sid_owner(&store, 11, 19).await, Some(ann.clone()));
    assert_eq!(sid_owner(&store, 11, 20).await, None);
    assert_eq!(sid_owner(&store, 1, 0).await, None, "a token is no sid");
    while store.sweep(at(10)).await.expect("swept") {}
    assert_eq!(home.rows("logins"), 2, "what has ended is forgotten");
    store.delete_user(brand(7), "ann".to_owned()).await.expect("deleted");
    assert_eq!(token(2, 10).await.expect("read"), None, "her logins go with her");
    assert_eq!(sid_owner(&store, 11, 10).await, None);
}

async fn sid_owner(store: &SharedStore, sid: u8, ms: i64) -> Option<User> {
    let sid: SecretHash = [sid; 32];
    store.sid_owner(brand(7), sid, at(ms)).await.expect("read")
}

async fn a_login_is_of_its_brand(home: Home) {
    let (store, _announcements) = home.serve();
    let here = store.add_login(login("ann", 1, 11, 10), at(0)).await.expect("stored");
    let there = NewLogin { brand: brand(8), ..login("ann", 2, 11, 10) };
    let there = store.add_login(there, at(0)).await.expect("stored");
    assert_ne!(here.key.user, there.key.user);
    let owner = |number| store.sid_owner(brand(number), [11; 32], at(0));
    assert_eq!(owner(7).await.expect("read"), Some(here));
    assert_eq!(owner(8).await.expect("read"), Some(there.clone()));
    assert_eq!(owner(9).await.expect("read"), None);
    assert_eq!(store.token_owner([2; 32], at(0)).await.expect("read"), Some(there.key));
}

async fn what_is_known_of_a_user_is_replaced(home: Home) {
    let (store, _announcements) = home.serve();
    let profile = Profile {
        first_name: "Ada".to_owned(),
        last_name: "Birch".to_owned(),
        email: "ada@a.example".to_owned(),
        phone: "+43 1".to_owned(),
        locale: "de-AT".to_owned(),
    };
    let put = |profile: Profile, tags: &[&str], ms| {
        let tags = tags.iter().map(|&tag| tag.to_owned()).collect();
        store.put_user(brand(7), "ann".to_owned(), profile, tags, at(ms))
    };
    let first = put(profile.clone(), &["b", "a", "b"], 0).await.expect("stored");
    assert_eq!((&first.profile, &first.tags[..]), (&profile, &["a".to_owned(), "b".to_owned()][..]));
    let profile = Profile { first_name: "Eve".to_owned(), ..Profile::default() };
    let second = put(profile.clone(), &["c"], 1).await.expect("stored");
    assert_eq!(second, User { profile, tags: vec!["c".to_owned()], ..first });
    assert_eq!(store.user(second.key).await.expect("read"), Some(second.clone()));
    added(&store, to("ann", titled("x")), at(2)).await;
    assert_eq!(store.user_called(brand(7), "ann".to_owned()).await.expect("read"), Some(second));
    assert_eq!(store.user_called(brand(7), "Ann".to_owned()).await.expect("read"), None);
    assert_eq!(store.user_called(brand(8), "ann".to_owned()).await.expect("read"), None);
}

async fn users_are_listed_by_number(home: Home) {
    let (store, _announcements) = home.serve();
    let mut keys: Vec<UserKey> = Vec::new();
    for name in ["c", "a", "b", "d", "e"] {
        store
            .put_user(brand(7), name.to_owned(), Profile::default(), Vec::new(), at(0))
            .await
            .expect("stored");
        store
            .put_user(brand(8), name.to_owned(), Profile::default(), Vec::new(), at(0))
            .await
            .expect("stored");
        keys.push(user(&store, brand(7), name).await);
    }
    let mut listed = Vec::new();
    let mut after: Option<UserId> = None;
    loop {
        let page = store.users(brand(7), after, 2).await.expect("listed");
        let Some(last) = page.last() else { break };
        after = Some(last.key.user);
        listed.extend(page.into_iter().map(|user| user.key));
    }
    assert_eq!(listed, keys);
}

async fn several_users_are_found_at_once(home: Home) {
    let (store, _announcements) = home.serve();
    for (brand, name) in [(brand(7), "ann"), (brand(7), "bob"), (brand(8), "carl")] {
        let tags = vec![name.to_owned()];
        store.put_user(brand, name.to_owned(), Profile::default(), tags, at(0)).await.expect("stored");
    }
    let names = ["bob", "nobody", "carl", "ann"].map(str::to_owned).to_vec();
    let found = store.users_called(brand(7), names).await.expect("read");
    let found: Vec<_> =
        found.iter().map(|user| (user.key.brand, &*user.external_id, &*user.tags[0])).collect();
    assert_eq!(found, [(brand(7), "bob", "bob"), (brand(7), "ann", "ann")]);
}
